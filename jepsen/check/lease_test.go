package check

import (
	"testing"
	"time"
)

func TestLease(t *testing.T) {
	cfg := LeaseConfig{TTL: ms(2000), Bound: ms(1000), Epsilon: ms(200)}
	e := func(kind LeaseEventKind, sent, answered int) LeaseEvent {
		return LeaseEvent{Holder: "h", Kind: kind, Sent: ms(sent), Answered: ms(answered)}
	}
	beat := e(Heartbeat, 1000, 1100)
	for _, c := range []struct {
		name   string
		events []LeaseEvent
		want   string
	}{
		{"held, then lost in time", []LeaseEvent{beat, e(Held, 2900, 2950), e(Stopped, 1100, 1100), e(Lost, 3050, 3060)}, ""},
		{"lost at the last moment", []LeaseEvent{beat, e(Held, 4300, 4400), e(Lost, 4500, 4510)}, ""},
		{"early expiry", []LeaseEvent{beat, e(Lost, 2900, 2990)}, "1.99s after the sending"},
		{"an expiry that may have been in time", []LeaseEvent{beat, e(Lost, 2900, 3000)}, ""},
		{"early after the last of several", []LeaseEvent{beat, e(Heartbeat, 2000, 2010), e(Lost, 3900, 3950)}, "after the sending"},
		{"a heartbeat during the observation", []LeaseEvent{e(Heartbeat, 500, 600), e(Heartbeat, 2550, 2700), e(Lost, 2600, 2710)}, ""},
		{"an unanswered heartbeat promises nothing", []LeaseEvent{beat, e(MaybeHeartbeat, 2000, 2500), e(Lost, 3050, 3060)}, ""},
		{"late expiry", []LeaseEvent{beat, e(Held, 4301, 4302), e(Lost, 5000, 5001)}, "it should be lost after 3.2s"},
		{"an unanswered heartbeat may have been heard", []LeaseEvent{beat, e(MaybeHeartbeat, 2000, 2500), e(Held, 5000, 5100)}, ""},
		{"never lost", []LeaseEvent{beat, e(Stopped, 1100, 1100), e(Held, 4000, 4100)}, "?was not seen lost"},
		{"never lost, and seen held", []LeaseEvent{beat, e(Stopped, 1100, 1100), e(Held, 9000, 9100)}, "?it should be lost"},
		{"lost only before it stopped", []LeaseEvent{e(Lost, 0, 10), beat, e(Stopped, 1100, 1100)}, "?was not seen lost"},
		{"lost, then held anew", []LeaseEvent{beat, e(Lost, 3100, 3110), e(Heartbeat, 5000, 5010), e(Held, 5100, 5110)}, ""},
		{"lost, then held anew, then lost early", []LeaseEvent{beat, e(Lost, 3100, 3110), e(Heartbeat, 5000, 5010), e(Lost, 5100, 5110)}, "after the sending"},
		{"held without a heartbeat", []LeaseEvent{e(Held, 1, 2), e(Heartbeat, 5, 6)}, "no heartbeat before"},
		{"nobody looked", []LeaseEvent{beat}, "?no lease was observed"},
		{"no kind", []LeaseEvent{beat, e("x", 1, 2), e(Lost, 3100, 3110)}, "?no kind of an event"},
		{"times the wrong way", []LeaseEvent{beat, e(Lost, 3200, 3110)}, "?answered before it was sent"},
	} {
		t.Run(c.name, func(t *testing.T) { wantVerdict(t, lease(c.events, cfg), c.want) })
	}
	wantUndecided(t, Lease([]LeaseEvent{beat}, LeaseConfig{}), "positive TTL")
}

// lease checks the events of h beside those of another holder, whose lease is sound.
func lease(events []LeaseEvent, cfg LeaseConfig) Verdict {
	if len(events) < 2 {
		return Lease(events, cfg)
	}
	other := LeaseEvent{Holder: "other", Kind: Heartbeat, Sent: 0, Answered: time.Hour}
	return Lease(append([]LeaseEvent{other}, events...), cfg)
}

func TestFencing(t *testing.T) {
	g := func(holder string, token uint64, sent, answered int) Grant {
		return Grant{Resource: "r", Holder: holder, Token: token, Sent: ms(sent), Answered: ms(answered)}
	}
	for _, c := range []struct {
		name     string
		accepted []Grant
		want     string
	}{
		{"rising", []Grant{g("a", 1, 0, 1), g("a", 1, 2, 3), g("b", 2, 4, 5)}, ""},
		{"recorded in another order", []Grant{g("b", 2, 4, 5), g("a", 1, 0, 1)}, ""},
		{"at the same time", []Grant{g("b", 2, 4, 8), g("a", 1, 5, 6)}, ""},
		{"a paused holder wakes up", []Grant{g("a", 1, 0, 1), g("b", 2, 4, 5), g("a", 1, 6, 7)}, "token 1 of a was accepted at 6ms..7ms, after token 2 of b"},
		{"a long one hides nothing", []Grant{g("c", 3, 0, 50), g("b", 2, 4, 5), g("a", 1, 6, 7)}, "token 1 of a"},
		{"one token, two holders", []Grant{g("a", 1, 0, 1), g("b", 1, 2, 3)}, "of a and of b"},
		{"another resource", []Grant{g("a", 5, 0, 1), {Resource: "q", Holder: "a", Token: 1, Sent: ms(2), Answered: ms(3)}}, ""},
		{"nothing", nil, "?nothing was accepted"},
		{"times the wrong way", []Grant{g("a", 1, 2, 1)}, "?answered before"},
	} {
		t.Run(c.name, func(t *testing.T) { wantVerdict(t, Fencing(c.accepted), c.want) })
	}
}
