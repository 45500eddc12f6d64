package fsm

// Type is the number of a command in the log. Numbers are append-only: one
// that was ever released keeps its meaning.
type Type uint16

// The commands.
const (
	typeInitCluster       Type = 1
	typeRegisterMember    Type = 2
	typeRemoveMember      Type = 3
	typeRegisterProxy     Type = 10
	typeSetProxyStatus    Type = 11
	typeRemoveProxy       Type = 12
	typeAckConfig         Type = 13
	typePublishConfig     Type = 20
	typeRegisterAgent     Type = 30
	typeSetAgentStatus    Type = 31
	typePutSection        Type = 40
	typeRequestSwitch     Type = 50
	typeAdvanceSwitch     Type = 51
	typeCastVote          Type = 52
	typeAbortSwitch       Type = 53
	typeExpireSessions    Type = 60
	typeRaiseClusterEpoch Type = 70
	typeMarkState         Type = 71
	typeCompareState      Type = 72
	typeFreezeGroup       Type = 90
	typeThawGroup         Type = 91
	typeSetMaintenance    Type = 85
	typeSetBrake          Type = 86
	typeAckSwitch         Type = 87
	typeRecordHook        Type = 88
	typeSetReplica        Type = 80
	typeSetDegraded       Type = 81
)

// Command is a change of the state. apply runs within one transaction, which
// is dropped when it refuses.
type Command interface {
	commandType() Type
	apply(t *txn) (data []byte, refusal *Refusal)
}

// commands has one prototype for each type.
var commands = map[Type]Command{}

func init() {
	for _, c := range []Command{
		(*InitCluster)(nil), (*RegisterMember)(nil), (*RemoveMember)(nil),
		(*RegisterProxy)(nil), (*SetProxyStatus)(nil), (*RemoveProxy)(nil), (*AckConfig)(nil),
		(*PublishConfig)(nil),
		(*RegisterAgent)(nil), (*SetAgentStatus)(nil),
		(*PutSection)(nil),
		(*RequestSwitch)(nil), (*AdvanceSwitch)(nil), (*CastVote)(nil), (*AbortSwitch)(nil),
		(*ExpireSessions)(nil), (*RaiseClusterEpoch)(nil),
		(*MarkState)(nil), (*CompareState)(nil),
		(*FreezeGroup)(nil), (*ThawGroup)(nil),
		(*SetMaintenance)(nil), (*SetBrake)(nil), (*AckSwitch)(nil), (*RecordHook)(nil),
		(*SetReplica)(nil), (*SetDegraded)(nil),
	} {
		commands[c.commandType()] = c
	}
}

// Result is the answer to a command.
type Result struct {
	Index uint64 // of the entry; of the first one when it is a retry
	Code  uint16 // 0 ok; else one of the Code constants, which are the wire's numbers
	Msg   string
	Data  []byte
}

// Refusal is why a command changed nothing.
type Refusal struct {
	Code uint16
	Msg  string
}

// Codes of refusals. They are numbers of the wire's table (transport/api); a
// test of the keeper holds the two together.
const (
	CodeClusterStatus    = 6
	CodeConfigCheck      = 7
	CodeBadRequest       = 100
	CodeBusy             = 105
	CodeTooLarge         = 106
	CodeSwitchInProgress = 2004
	CodeTooFrequent      = 2014
	CodeKeyMissing       = 2016
	CodeInvalidSwitch    = 2020
	CodeStaleGeneration  = 2104
	CodeRateLimited      = 2107
	CodeLastProxy        = 2111
	CodeForeignCluster   = 2112
	CodeSessionGone      = 2113
	CodeConflict         = 2115
	CodeGroupFrozen      = 2130
	CodeNotFrozen        = 2131
	CodeMaintenance      = 2124
	CodeBraked           = 2125
	CodeAckPending       = 2126
	CodeNotRecorded      = 2120
)
