package wire

import (
	"fmt"
	"sync"
	"testing"
)

// BenchmarkCall is a request and its answer of 256 bytes each over loopback, by
// the number of connections and of callers on each.
func BenchmarkCall(b *testing.B) {
	for _, shape := range []struct{ conns, callers int }{{1, 1}, {1, 64}, {64, 1}, {1000, 1}} {
		b.Run(fmt.Sprintf("conns=%d/callers=%d", shape.conns, shape.callers), func(b *testing.B) {
			counters := new(Counters)
			var callers []*Invoker
			for range shape.conns {
				caller, _ := invokers(b, Config{}, Config{Handler: echo, Counters: counters})
				callers = append(callers, caller)
			}
			body := make([]byte, 256)
			work := make(chan struct{}, 1024)
			var wg sync.WaitGroup
			for _, inv := range callers {
				for range shape.callers {
					wg.Go(func() {
						for range work {
							if _, err := inv.Call(b.Context(), "Echo", nil, body); err != nil {
								b.Error(err)
							}
						}
					})
				}
			}
			b.ReportAllocs()
			for b.Loop() {
				work <- struct{}{}
			}
			close(work)
			wg.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
			if frames := counters.FramesOut.Load(); frames > 0 {
				b.ReportMetric(float64(counters.Writes.Load())/float64(frames), "writes/answer")
			}
		})
	}
}
