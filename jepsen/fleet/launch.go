package fleet

import (
	"errors"
	"fmt"
)

// Launch starts the process and does not wait until it is ready, for one whose readiness has to wait for others. extra
// comes at the end of the command line, in this run only.
func (p *Proc) Launch(extra ...string) error {
	p.control.Lock()
	defer p.control.Unlock()
	r, err := p.launch(extra)
	if err == nil {
		err = r.started()
	}
	if err != nil && !errors.Is(err, ErrRunning) {
		return fmt.Errorf("start %s: %w", p.cfg.Name, err)
	}
	return err
}
