package load

import (
	"errors"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
)

func TestGap(t *testing.T) {
	start := time.Unix(1000, 0)
	at := func(ms int) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }
	l := &Load{acks: []Ack{{At: at(90)}, {At: at(10)}, {At: at(20)}, {At: at(500)}}}
	for _, test := range []struct {
		name     string
		from, to int
		want     int
	}{
		{"between acknowledgements", 0, 100, 70},
		{"before the first", -50, 15, 60},
		{"behind the last", 20, 400, 310},
		{"none at all", 600, 700, 100},
	} {
		if got := l.Gap(Span{at(test.from), at(test.to)}); got != time.Duration(test.want)*time.Millisecond {
			t.Errorf("%s: %v, want %d ms", test.name, got, test.want)
		}
	}
}

func TestKindOf(t *testing.T) {
	for _, test := range []struct {
		err  error
		want Kind
	}{
		{errors.New("connection reset"), InDoubt},
		{&mysql.MySQLError{Number: 2013}, InDoubt},
		{&mysql.MySQLError{Number: 1290}, Aborted},
		{&mysql.MySQLError{Number: 1146}, Other},
	} {
		if got := kindOf(test.err); got != test.want {
			t.Errorf("%v: %s, want %s", test.err, got, test.want)
		}
	}
}

func TestFailuresOfASpan(t *testing.T) {
	now := time.Unix(1000, 0)
	l := &Load{}
	l.failures = []Failure{{At: now.Add(time.Second), Kind: Other}, {At: now, Kind: InDoubt}, {At: now.Add(time.Hour), Kind: Aborted}}
	got := l.Failures(Span{now, now.Add(time.Minute)})
	if len(got) != 2 || got[0].Kind != InDoubt || Count(got)[Other] != 1 || Count(got)[Aborted] != 0 {
		t.Errorf("%+v", got)
	}
}
