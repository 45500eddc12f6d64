package netns

import (
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestHoldDeliversInOrderOfTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type arrival struct {
			number int
			at     time.Duration
		}
		var mu sync.Mutex
		var got []arrival
		start := time.Now()
		h := newHold(func(_ int, b []byte) {
			mu.Lock()
			defer mu.Unlock()
			got = append(got, arrival{int(b[0])<<8 | int(b[1]), time.Since(start)})
		})
		defer h.close()
		through := func() []arrival { // when all that was due has been delivered
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			return slices.Clone(got)
		}
		var waiting atomic.Int64
		rng := rand.New(rand.NewPCG(1, 2))
		var want []arrival
		for i := range 500 {
			late := time.Duration(1+rng.IntN(100)) * time.Millisecond
			if !h.add(start.Add(late), 0, []byte{byte(i >> 8), byte(i)}, &waiting, 500) {
				t.Fatalf("packet %d was refused", i)
			}
			want = append(want, arrival{i, late})
		}
		if h.add(start, 0, nil, &waiting, 500) {
			t.Error("one more than the limit was taken")
		}
		time.Sleep(50 * time.Millisecond)
		half := through()
		if left := waiting.Load(); len(half) == 0 || left == 0 || int(left) != 500-len(half) {
			t.Errorf("half way %d are through and %d wait", len(half), left)
		}
		// One that is due before those that wait.
		if !h.add(start.Add(50*time.Millisecond), 0, []byte{2, 0}, &waiting, 500) {
			t.Error("there is room, and a packet was refused")
		}
		if now := through(); len(now) != len(half)+1 || now[len(half)] != (arrival{512, 50 * time.Millisecond}) {
			t.Errorf("%v, want the one that is due now", now[len(half):])
		}
		want = append(want, arrival{512, 50 * time.Millisecond})
		time.Sleep(time.Second)
		all := through()
		slices.SortStableFunc(want, func(a, b arrival) int { return int(a.at - b.at) })
		if !slices.Equal(all, want) || waiting.Load() != 0 {
			t.Errorf("got %v\nwant %v\n%d wait", all, want, waiting.Load())
		}
	})
}
