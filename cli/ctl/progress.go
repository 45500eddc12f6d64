package ctl

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// progressAfter is how long something may take before progress is shown, and
// progressEvery how often the line is drawn again.
const (
	progressAfter = 500 * time.Millisecond
	progressEvery = 250 * time.Millisecond
)

// progress shows on stderr, when that is a terminal, that something goes on.
// The function it returns ends it, takes the line away and may be called twice.
func (a *app) progress(format string, args ...any) (done func()) {
	if !a.streams.ErrTTY || a.busy {
		return func() {} // nobody looks, or something greater is shown
	}
	a.busy = true
	what := printable(fmt.Sprintf(format, args...), false)
	quit := make(chan struct{})
	var drawer sync.WaitGroup
	drawer.Go(func() { draw(a.streams.Err, what, quit) })
	return sync.OnceFunc(func() {
		close(quit)
		drawer.Wait()
		a.busy = false
	})
}

// draw redraws one line until quit.
func draw(w io.Writer, what string, quit <-chan struct{}) {
	started := time.Now()
	timer := time.NewTimer(progressAfter)
	defer timer.Stop()
	drawn := false
	for {
		select {
		case <-quit:
			if drawn {
				fmt.Fprint(w, "\r\x1b[K")
			}
			return
		case <-timer.C:
			fmt.Fprintf(w, "\r\x1b[K%s … %.0f s", what, time.Since(started).Seconds())
			drawn = true
			timer.Reset(progressEvery)
		}
	}
}
