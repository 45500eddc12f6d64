package agent

import (
	"context"

	"github.com/zerokeeper/zero/agent/mysql"
	"github.com/zerokeeper/zero/transport/api"
)

// judged is what a server had that could not follow that source: it has transactions that the source lacks, or lacks
// some that the source does not have any more.
type judged struct {
	binlog, slave string
	host          string
	port          uint16
}

func judgedAs(s mysql.State, source mysql.Source) judged {
	return judged{s.GTIDBinlogState, s.GTIDSlavePos, source.Host, source.Port}
}

// condemn remembers what a server had that has to be built anew.
func (a *Agent) condemn(s mysql.State, source mysql.Source) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.errant = judgedAs(s, source)
}

// acquit takes that back.
func (a *Agent) acquit() {
	a.mu.Lock()
	a.errant = judged{}
	a.mu.Unlock()
	a.warn(warnErrants, "")
}

// lookAgain looks whether a server that could not follow can do so now, when what it has is not what it was: a person built it
// anew while this agent ran. The alarm keeps the keepers from recording it (R17), and what they do not
// record does not follow (R20): without this look the alarm would outlive its reason.
func (a *Agent) lookAgain(ctx context.Context, primary api.Datasource, s mysql.State) {
	a.mu.Lock()
	was := a.errant
	a.mu.Unlock()
	source, err := sourceOf(primary)
	if err != nil || was == (judged{}) || was == judgedAs(s, source) || s.GTIDBinlogState == "" && s.GTIDSlavePos == "" {
		return
	}
	state, err := a.db.SourceState(ctx, source)
	if err != nil {
		a.log.Debug("the primary does not say whether it has what this server has: asked again", "error", err)
		return
	}
	theirs, err := mysql.ParseGTIDState(state)
	if err != nil {
		a.log.Debug("what the primary has cannot be read", "error", err)
		return
	}
	mine, err := s.Executed()
	if err != nil || len(mysql.Errant(mine, theirs)) > 0 {
		a.condemn(s, source)
		return
	}
	a.log.Info("the primary has all that this server has: it was built anew", "datasource", a.db.Address(), "primary", primary.Address)
	a.acquit()
	a.setAlarm("")
}
