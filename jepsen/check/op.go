package check

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"
	"unicode/utf8"
)

// Kinds of operations that the checkers know.
const (
	Read  = "read"  // what a section holds; Found, GotValue, GotVersion
	Write = "write" // sets a section whatever it holds; GotVersion
	CAS   = "cas"   // sets a section if it is at Version (0: does not exist); GotVersion
)

// Forever is the Return of an operation that nobody saw end.
const Forever = time.Duration(math.MaxInt64)

// Outcome is what a client knows about an operation that it sent.
type Outcome int

// The outcomes. The zero value is none of them.
const (
	// OK: done, and the answer is in the operation.
	OK Outcome = iota + 1
	// Failed: definitely not done and never will be, as with NoLeader. Anything in doubt is Unknown.
	Failed
	// Refused: the state machine decided and changed nothing: a CAS whose version was not the section's. Refusals that
	// do not depend on the section (too large, rate limited) are Failed.
	Refused
	// Unknown: no answer, or one that says so. It may have been done, may not, or may still be.
	Unknown
)

var outcomes = []string{OK: "ok", Failed: "failed", Refused: "refused", Unknown: "unknown"}

// String is ok, failed, refused or unknown.
func (o Outcome) String() string {
	if o.valid() {
		return outcomes[o]
	}
	return fmt.Sprintf("Outcome(%d)", int(o))
}

func (o Outcome) valid() bool { return o >= OK && o <= Unknown }

// MarshalText writes String; an outcome that is none is an error.
func (o Outcome) MarshalText() ([]byte, error) {
	if !o.valid() {
		return nil, fmt.Errorf("outcome %d: there is none", int(o))
	}
	return []byte(outcomes[o]), nil
}

// UnmarshalText reads what String wrote.
func (o *Outcome) UnmarshalText(text []byte) error {
	i := slices.Index(outcomes, string(text))
	if i < int(OK) {
		return fmt.Errorf("outcome %q: want ok, failed, refused or unknown", text)
	}
	*o = Outcome(i)
	return nil
}

// Op is one operation of a client. Each attempt of a retried write is an Op of its own with the same Session and Seq;
// [Fold] makes one of them. Times are monotonic, since the run's start.
type Op struct {
	Client     int           `json:"client"` // a process; one operation at a time
	Kind       string        `json:"kind"`
	Key        string        `json:"key,omitempty"`     // of a section: SectionKey
	Value      string        `json:"value,omitempty"`   // written; valid UTF-8
	Version    uint64        `json:"version,omitempty"` // CAS: the version that the section must have
	Call       time.Duration `json:"call"`
	Return     time.Duration `json:"return,omitempty"` // meaningless when Outcome is Unknown
	Outcome    Outcome       `json:"outcome"`
	GotValue   string        `json:"gotValue,omitempty"`   // a read's; valid UTF-8
	GotVersion uint64        `json:"gotVersion,omitempty"` // 0: the answer did not say
	Found      bool          `json:"found,omitempty"`      // a read's
	Session    string        `json:"session,omitempty"`    // with Seq: the write's name in the Raft log
	Seq        uint64        `json:"seq,omitempty"`
	Node       string        `json:"node,omitempty"` // that answered, if it is known
	Error      string        `json:"error,omitempty"`
}

// SectionKey is the Key of operations on a section: its two keys with a slash between.
func SectionKey(id, section string) string { return id + "/" + section }

// Mutates reports whether the operation may change the state.
func (o Op) Mutates() bool { return o.Kind == Write || o.Kind == CAS }

// Acked reports whether a quorum answered: done, or refused for what the section held.
func (o Op) Acked() bool { return o.Outcome == OK || o.Outcome == Refused }

// end is when the operation had its effect at the latest.
func (o Op) end() time.Duration {
	if o.Outcome == Unknown {
		return Forever
	}
	return o.Return
}

// name is the write's name in the Raft log.
func (o Op) name() opName { return opName{o.Session, o.Seq} }

// opName names a write: the client's session and the sequence in it.
type opName struct {
	session string
	seq     uint64
}

func (n opName) String() string { return fmt.Sprintf("session %s seq %d", n.session, n.seq) }

// String is the operation in one line.
func (o Op) String() string {
	s := fmt.Sprintf("client %d: %s %s", o.Client, o.Kind, o.Key)
	switch o.Kind {
	case Write:
		s += fmt.Sprintf(" %q", o.Value)
	case CAS:
		s += fmt.Sprintf(" %q if version %d", o.Value, o.Version)
	}
	s += fmt.Sprintf(" at %v", o.Call)
	if o.end() != Forever {
		s += fmt.Sprintf("..%v", o.Return)
	}
	s += " " + o.Outcome.String()
	switch {
	case o.Kind == Read && o.Outcome == OK && !o.Found:
		s += " none"
	case o.Kind == Read && o.Outcome == OK:
		s += fmt.Sprintf(" %q version %d", o.GotValue, o.GotVersion)
	case o.Outcome == OK && o.GotVersion != 0:
		s += fmt.Sprintf(" version %d", o.GotVersion)
	}
	if o.Session != "" {
		s += " (" + o.name().String() + ")"
	}
	return s
}

var errNoText = errors.New("a string is not valid UTF-8, which JSON cannot carry")

// check refuses an operation that cannot have been recorded.
func (o Op) check() error {
	switch {
	case o.Kind == "":
		return errors.New("an operation without a kind")
	case !o.Outcome.valid():
		return fmt.Errorf("outcome %d: there is none", int(o.Outcome))
	case o.Call < 0:
		return fmt.Errorf("called at %v, before the run's start", o.Call)
	case o.Outcome != Unknown && o.Return < o.Call:
		return fmt.Errorf("called at %v, returned at %v", o.Call, o.Return)
	case (o.Session == "") != (o.Seq == 0):
		return fmt.Errorf("session %q with sequence %d: want both or neither", o.Session, o.Seq)
	}
	for _, s := range []string{o.Kind, o.Key, o.Value, o.GotValue, o.Session, o.Node, o.Error} {
		if !utf8.ValidString(s) {
			return errNoText
		}
	}
	return nil
}
