package agent

import (
	"errors"

	"github.com/zerokeeper/zero/agent/mysql"
	"github.com/zerokeeper/zero/transport/api"
)

// databaseErrors is what the database's errors are on the wire, the first that
// matches. Busy, NotReady and OutcomeUnknown are worth another try.
var databaseErrors = []struct {
	err  error
	code api.Code
}{
	{errGaveWay, api.Busy},
	{errNoLease, api.NotReady},
	{mysql.ErrUnknown, api.OutcomeUnknown},
	{mysql.ErrUnreachable, api.MySQLUnreachable},
	{mysql.ErrFencedMeanwhile, api.Busy},
	{mysql.ErrPositionTimeout, api.PositionTimeout},
	{mysql.ErrWaitingForAck, api.WaitingForAck},
	{mysql.ErrFenceTimeout, api.FenceTimeout},
	{mysql.ErrPreparedXA, api.FenceFailed},
	{mysql.ErrEventsEnabled, api.FenceFailed},
	{mysql.ErrRelayNotDrained, api.NotDrained},
	{mysql.ErrStillReplica, api.StillReplica},
	{mysql.ErrNotReplica, api.NotReplica},
	{mysql.ErrErrant, api.BinlogInconsistent},
	{mysql.ErrPurged, api.BinlogInconsistent},
	{mysql.ErrSourceUnreachable, api.NotReady},
	{mysql.ErrReplicationLogin, api.SetDatabase},
	{mysql.ErrSameServerID, api.SetDatabase},
	{mysql.ErrReplication, api.SetDatabase},
	{mysql.ErrUnsupported, api.SetDatabase},
	{mysql.ErrMultiSource, api.SetDatabase},
	{mysql.ErrNotGTID, api.SetDatabase},
	{mysql.ErrBinlogOff, api.SetDatabase},
	{mysql.ErrNotReceived, api.NotReady},
	{mysql.ErrBadLiteral, api.SetDatabase},
	{mysql.ErrBadGTID, api.DataRead},
	{mysql.ErrNoProcess, api.MySQLUnreachable},
	{mysql.ErrCannotKill, api.FenceFailed},
}

// databaseError gives an error of the database its code.
func databaseError(err error) error {
	if err == nil {
		return nil
	}
	for _, e := range databaseErrors {
		if errors.Is(err, e.err) {
			return &api.Error{Code: e.code, Msg: err.Error()}
		}
	}
	if code, _ := api.CodeOf(err); code != api.Common {
		return err
	}
	return &api.Error{Code: api.MySQLQuery, Msg: err.Error()}
}
