package keeper

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/zerokeeper/zero/cluster/keeper/hook"
	"github.com/zerokeeper/zero/fsm"
	"github.com/zerokeeper/zero/transport/api"
)

// Bounds of the delivery of hooks.
const (
	hookHorizon  = 10 * time.Minute // what is older is not told any more
	hookSweep    = time.Second      // between two tries to record
	hookPause    = time.Second      // before a webhook is tried again, doubling
	webhookTries = 3
	maxWatched   = 1024 // switches with something left to tell
)

// hooks tells programs and webhooks what happens to switches. There is no queue:
// what is left to tell is the difference between the events of the record
// (happenings) and the results in it. So a new leader goes on where the last one
// stopped, and tells what may have been told already (at least once).
type hooks struct {
	specs []hook.Spec
	wake  []chan struct{} // one for each spec, and the recorder's

	mu      sync.Mutex
	watched map[string]bool
	told    map[toldKey]*told // in this term, by this leader
}

type toldKey struct{ id, hook, event string }

// told is a result; it goes into the record when no client waits for the switch.
type told struct {
	result   fsm.HookResult
	recorded bool
}

func newHooks(specs []hook.Spec) *hooks {
	h := &hooks{specs: specs}
	for range len(specs) + 1 {
		h.wake = append(h.wake, make(chan struct{}, 1))
	}
	h.reset()
	return h
}

func (h *hooks) reset() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.watched, h.told = map[string]bool{}, map[toldKey]*told{}
}

// poke says that something happened to a switch.
func (h *hooks) poke(id string) {
	if len(h.specs) == 0 {
		return
	}
	h.mu.Lock()
	if len(h.watched) < maxWatched {
		h.watched[id] = true
	}
	h.mu.Unlock()
	h.wakeAll()
}

func (h *hooks) wakeAll() {
	for _, wake := range h.wake {
		select {
		case wake <- struct{}{}:
		default:
		}
	}
}

// runHooks delivers until the term ends: each hook one event after the other, so
// that one that hangs delays only itself.
func (k *Keeper) runHooks(ctx context.Context, term uint64) {
	h := k.hooks
	if len(h.specs) == 0 {
		return
	}
	h.reset()
	for _, s := range k.cfg.Store.State().Switches() {
		if s.HooksOpen && (s.IsOpen() || k.cfg.Now().UnixNano()-lastTime(s) < int64(hookHorizon)) {
			h.poke(s.ID)
		}
	}
	var all sync.WaitGroup
	for i := range h.specs {
		all.Go(func() { k.tellHook(ctx, i) })
	}
	all.Go(func() { k.recordHooks(ctx, term) })
	all.Wait()
}

func lastTime(s *fsm.Switch) int64 { return s.Steps[len(s.Steps)-1].Time }

// tellHook tells one hook what it was not told yet.
func (k *Keeper) tellHook(ctx context.Context, i int) {
	h := k.hooks
	for ctx.Err() == nil {
		s, what, ok := k.untold(i)
		if !ok {
			select {
			case <-ctx.Done():
			case <-h.wake[i]:
			}
			continue
		}
		result := fsm.HookResult{Hook: h.specs[i].Name, Event: what.event(), Keeper: k.name(), Note: fmt.Sprintf("not told: older than %s", hookHorizon)}
		if k.cfg.Now().UnixNano()-what.time < int64(hookHorizon) {
			result = k.runHook(ctx, h.specs[i], s, what)
		}
		if ctx.Err() != nil {
			return // the next leader tells it again
		}
		h.keep(s.ID, result, false)
	}
}

func (h *hooks) keep(id string, result fsm.HookResult, recorded bool) {
	h.mu.Lock()
	h.told[toldKey{id, result.Hook, result.Event}] = &told{result, recorded}
	h.mu.Unlock()
	h.wakeAll()
}

// untold is the oldest event that a hook was not told.
func (k *Keeper) untold(i int) (*fsm.Switch, happening, bool) {
	for _, s := range k.watchedSwitches() {
		for _, what := range happenings(s) {
			if k.hooks.due(i, s, what) {
				return s, what, true
			}
		}
	}
	return nil, happening{}, false
}

// watchedSwitches are those with something left to tell, the oldest first.
func (k *Keeper) watchedSwitches() []*fsm.Switch {
	state := k.cfg.Store.State()
	k.hooks.mu.Lock()
	defer k.hooks.mu.Unlock()
	var list []*fsm.Switch
	for id := range k.hooks.watched {
		s := state.Switch(id)
		if s == nil || !s.HooksOpen {
			k.hooks.forget(id)
			continue
		}
		list = append(list, s)
	}
	slices.SortFunc(list, func(a, b *fsm.Switch) int { return cmp.Compare(a.Number, b.Number) })
	return list
}

// forget drops what is known of a switch. The lock is held.
func (h *hooks) forget(id string) {
	delete(h.watched, id)
	for key := range h.told {
		if key.id == id {
			delete(h.told, key)
		}
	}
}

// due reports whether a hook wants an event and was not told.
func (h *hooks) due(i int, s *fsm.Switch, what happening) bool {
	spec, event := h.specs[i], what.event()
	if !slices.Contains(spec.On, event) || event == beforeSwitch && asked(spec, s) || resultOf(s, spec.Name, event) != nil {
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.told[toldKey{s.ID, spec.Name, event}] == nil
}

// asked reports whether a hook is asked by the driver whether the switch may
// begin. Not of a failover that takes the place of another: writers wait already.
func asked(spec hook.Spec, s *fsm.Switch) bool { return spec.Veto && s.Supersedes == "" }

func resultOf(s *fsm.Switch, name, event string) *fsm.HookResult {
	i := slices.IndexFunc(s.Hooks, func(r fsm.HookResult) bool { return r.Hook == name && r.Event == event })
	if i < 0 {
		return nil
	}
	return &s.Hooks[i]
}

// runHook runs a hook, a webhook up to webhookTries times. One that may say no is
// run once.
func (k *Keeper) runHook(ctx context.Context, spec hook.Spec, s *fsm.Switch, what happening) fsm.HookResult {
	tries := 1
	if spec.URL != "" && !(what.event() == beforeSwitch && asked(spec, s)) {
		tries = webhookTries
	}
	result := fsm.HookResult{Hook: spec.Name, Event: what.event(), Keeper: k.name()}
	began, wait := time.Now(), hookPause
	for {
		note, err := spec.Run(ctx, k.eventOf(s, what))
		result.Tries++
		if result.OK, result.Note = err == nil, note; err != nil {
			result.Note = err.Error()
		}
		if err == nil || result.Tries >= tries || ctx.Err() != nil {
			break
		}
		pause(ctx, wait)
		wait *= 2
	}
	result.Took = int64(time.Since(began))
	if !result.OK && ctx.Err() == nil {
		k.log.Warn("a hook failed", "hook", spec.Name, "event", what.event(), "switch", s.ID, "tries", result.Tries, "error", result.Note)
	}
	return result
}

// recordHooks records results, and closes what was told whole. While a switch
// holds its group nothing is recorded: the entry would be in the writers' way.
func (k *Keeper) recordHooks(ctx context.Context, term uint64) {
	h := k.hooks
	tick := time.NewTicker(hookSweep)
	defer tick.Stop()
	for ctx.Err() == nil {
		for _, s := range k.watchedSwitches() {
			g := k.cfg.Store.State().Group(s.Group)
			if g != nil && g.OpenSwitch != "" && !g.Open() {
				continue
			}
			k.recordSwitch(ctx, term, s)
		}
		select {
		case <-ctx.Done():
		case <-h.wake[len(h.specs)]:
		case <-tick.C:
		}
	}
}

func (k *Keeper) recordSwitch(ctx context.Context, term uint64, s *fsm.Switch) {
	for _, t := range k.hooks.unrecorded(s.ID) {
		if !k.recordHook(ctx, term, s, t) {
			return
		}
	}
	if s.IsOpen() || !k.toldWhole(s) {
		return
	}
	if _, err := refused(k.cfg.Store.ProposeInTerm(ctx, term, fsm.Header{}, &fsm.RecordHook{ID: s.ID, Generation: s.Generation, Closed: true})); err != nil && ctx.Err() == nil {
		k.log.Debug("that all hooks were run is not recorded yet", "switch", s.ID, "error", err)
	}
}

func (h *hooks) unrecorded(id string) []*told {
	h.mu.Lock()
	defer h.mu.Unlock()
	var list []*told
	for key, t := range h.told {
		if key.id == id && !t.recorded {
			list = append(list, t)
		}
	}
	return list
}

// recordHook proposes one result; false when that is to be tried again. A result
// that is refused is in the log only.
func (k *Keeper) recordHook(ctx context.Context, term uint64, s *fsm.Switch, t *told) bool {
	_, err := refused(k.cfg.Store.ProposeInTerm(ctx, term, fsm.Header{}, &fsm.RecordHook{ID: s.ID, Generation: s.Generation, Result: t.result}))
	switch code, _ := api.CodeOf(err); {
	case err != nil && code != api.TooLarge && code != api.KeyMissing && code != api.StaleGeneration:
		return false
	case err != nil:
		k.log.Warn("what became of a hook is not recorded", "switch", s.ID, "hook", t.result.Hook, "event", t.result.Event, "ok", t.result.OK, "note", t.result.Note, "error", err)
	}
	k.hooks.mu.Lock()
	t.recorded = true
	k.hooks.mu.Unlock()
	return true
}

// toldWhole reports whether every hook was told, and recorded, all that happened
// to a switch that is over. A newer state than s has may hold results that s has not.
func (k *Keeper) toldWhole(s *fsm.Switch) bool {
	if now := k.cfg.Store.State().Switch(s.ID); now != nil {
		s = now
	}
	for i := range k.hooks.specs {
		for _, what := range happenings(s) {
			if k.hooks.due(i, s, what) {
				return false
			}
		}
	}
	return len(k.hooks.unrecorded(s.ID)) == 0
}

// vetoes are the names of the hooks that may say no.
func (k *Keeper) vetoes() []string {
	var names []string
	for _, spec := range k.hooks.specs {
		if spec.Veto {
			names = append(names, spec.Name)
		}
	}
	return names
}

// mayBegin asks the hooks that may say no. The group is open and nothing was
// touched; one that fails, hangs or cannot be run says no.
func (d *driver) mayBegin(ctx context.Context, s *fsm.Switch) error {
	var (
		all  sync.WaitGroup
		mu   sync.Mutex
		said []string
	)
	for _, spec := range d.hooks.specs {
		if !asked(spec, s) {
			continue
		}
		all.Go(func() {
			result := resultOf(s, spec.Name, beforeSwitch) // of the leader before, who was told the same
			if result == nil {
				r := d.runHook(ctx, spec, s, happenings(s)[0])
				if ctx.Err() != nil {
					return
				}
				result = &r
				t := &told{result: r}
				recorded := d.recordHook(ctx, d.term, s, t)
				d.hooks.keep(s.ID, r, recorded)
			}
			if !result.OK {
				mu.Lock()
				defer mu.Unlock()
				said = append(said, result.Hook+": "+result.Note)
			}
		})
	}
	all.Wait()
	switch {
	case d.aborted() != nil:
		return d.aborted()
	case ctx.Err() != nil:
		return ctx.Err()
	case len(said) > 0:
		slices.Sort(said)
		return api.Errorf(api.HookVeto, "a hook said no: %s", strings.Join(said, "; "))
	}
	return nil
}

// ValidateHooks refuses hooks that cannot work.
func ValidateHooks(specs []hook.Spec) error {
	if len(specs) > hook.MaxHooks {
		return fmt.Errorf("%d hooks: at most %d", len(specs), hook.MaxHooks)
	}
	var errs []error
	names := map[string]bool{}
	for _, spec := range specs {
		if err := spec.Validate(HookSteps); err != nil {
			errs = append(errs, err)
		} else if names[spec.Name] {
			errs = append(errs, fmt.Errorf("hook %s is there twice: its results could not be told apart", spec.Name))
		}
		names[spec.Name] = true
	}
	return errors.Join(errs...)
}
