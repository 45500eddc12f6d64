package hook

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Bounds of a hook's time.
const (
	DefaultTimeout = 5 * time.Second
	MaxTimeout     = 30 * time.Second
)

const (
	// MaxHooks is how many hooks one keeper may have.
	MaxHooks = 16
	// maxOutput is what is kept of a program's output or a server's answer, in bytes.
	maxOutput = 256
	maxArgs   = 64
)

// ErrFailed: the hook ran and failed, could not be run, or was not over in time.
var ErrFailed = errors.New("hook failed")

// Spec is one hook. Either Program or URL is given.
type Spec struct {
	Name    string
	On      []string      // events: SUBJECT/PHASE (Events has all)
	Program []string      // absolute path and arguments; no shell
	URL     string        // http or https; it may hold a token, and is never shown
	Timeout time.Duration // 0: DefaultTimeout; at most MaxTimeout
	Veto    bool          // its failure at "switch/before" refuses the switch
	// Secret signs a webhook's body; nil: it is not signed. It is read anew each time.
	Secret func() (string, error)
}

// Phases of a subject, the whole switch or one of its steps.
const (
	Before  = "before"
	After   = "after"
	Failure = "failure"
)

// Switch is the subject of the events of a whole switch.
const Switch = "switch"

var validName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// Validate refuses a hook that cannot work. steps are the names of a switch's
// steps.
func (s Spec) Validate(steps []string) error {
	switch {
	case !validName.MatchString(s.Name):
		return fmt.Errorf("hook %q: its name must be 1 to 64 of A-Z a-z 0-9 . _ -, a letter or digit first", s.Name)
	case len(s.On) == 0:
		return fmt.Errorf("hook %s: on is empty: name the events, as switch/after", s.Name)
	case (len(s.Program) == 0) == (s.URL == ""):
		return fmt.Errorf("hook %s: want either a program or a url", s.Name)
	case s.Timeout < 0 || s.Timeout > MaxTimeout:
		return fmt.Errorf("hook %s: timeout %s: want above 0, at most %s", s.Name, s.Timeout, MaxTimeout)
	case s.Secret != nil && s.URL == "":
		return fmt.Errorf("hook %s: a secret signs what is sent to a url; a program needs none", s.Name)
	case s.Veto && !slices.Contains(s.On, Switch+"/"+Before):
		return fmt.Errorf("hook %s: veto needs the event %s/%s: nothing else can be refused", s.Name, Switch, Before)
	}
	for _, event := range s.On {
		subject, phase, _ := strings.Cut(event, "/")
		if phase != Before && phase != After && phase != Failure || subject != Switch && !slices.Contains(steps, subject) {
			return fmt.Errorf("hook %s: no event %q: want %s or one of the steps %s, then /%s, /%s or /%s", s.Name, event, Switch, strings.Join(steps, " "), Before, After, Failure)
		}
	}
	if s.URL != "" {
		u, err := url.Parse(s.URL)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil { // the error would show the URL
			return fmt.Errorf("hook %s: url: want http:// or https:// with a host, and no user", s.Name)
		}
		return nil
	}
	if len(s.Program) > maxArgs || !filepath.IsAbs(s.Program[0]) || strings.ContainsRune(strings.Join(s.Program, ""), 0) {
		return fmt.Errorf("hook %s: program: want an absolute path and at most %d arguments", s.Name, maxArgs-1)
	}
	return nil
}

// Event is what a hook is told. ID is the same whenever it is told again:
// consumers drop what they have seen.
type Event struct {
	ID          string    `json:"id"` // SWITCH/GENERATION/EVENT
	Hook        string    `json:"hook"`
	Event       string    `json:"event"`
	Switch      string    `json:"switch"`
	Generation  uint64    `json:"generation"`
	Step        string    `json:"step"` // the step, "switch" for the whole of it
	Group       string    `json:"hostGroup"`
	Cluster     string    `json:"cluster"`
	Kind        string    `json:"kind"`
	From        string    `json:"from"`
	To          string    `json:"to"`
	FromIndex   int       `json:"fromIndex"`
	ToIndex     int       `json:"toIndex"`
	Reason      string    `json:"reason"`
	RequestedBy string    `json:"requestedBy"`
	Error       string    `json:"error,omitempty"`
	Time        time.Time `json:"time"` // of the event, as the leader stamped it
	Keeper      string    `json:"keeper"`
}

// Run runs the hook once. The note is what it said. The error wraps ErrFailed;
// ctx may end it before its time.
func (s Spec) Run(ctx context.Context, e Event) (note string, err error) {
	ctx, cancel := context.WithTimeout(ctx, min(cmp.Or(s.Timeout, DefaultTimeout), MaxTimeout))
	defer cancel()
	e.Hook = s.Name
	body, err := json.Marshal(e)
	if err != nil {
		return "", fmt.Errorf("%w: encode the event: %w", ErrFailed, err)
	}
	if s.URL != "" {
		return s.post(ctx, e, body)
	}
	return s.exec(ctx, e, body)
}

// environment is what a program gets.
func (e Event) environment() []string {
	list := []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
	for _, v := range [][2]string{
		{"HOOK", e.Hook}, {"EVENT", e.Event}, {"ID", e.ID}, {"SWITCH", e.Switch}, {"GENERATION", fmt.Sprint(e.Generation)}, {"STEP", e.Step},
		{"GROUP", e.Group}, {"CLUSTER", e.Cluster}, {"KIND", e.Kind}, {"FROM", e.From}, {"TO", e.To},
		{"FROM_INDEX", fmt.Sprint(e.FromIndex)}, {"TO_INDEX", fmt.Sprint(e.ToIndex)}, {"REASON", e.Reason}, {"REQUESTED_BY", e.RequestedBy},
		{"ERROR", e.Error}, {"TIME", e.Time.UTC().Format(time.RFC3339Nano)}, {"KEEPER", e.Keeper},
	} {
		list = append(list, "ZERO_"+v[0]+"="+strings.ReplaceAll(v[1], "\x00", ""))
	}
	return list
}

// bounded keeps the first maxOutput bytes and takes the rest.
type bounded struct {
	kept    []byte
	dropped int
}

func (b *bounded) Write(p []byte) (int, error) {
	n := min(len(p), maxOutput-len(b.kept))
	b.kept = append(b.kept, p[:n]...)
	b.dropped += len(p) - n
	return len(p), nil
}

// String is what was kept, in one line of printable text.
func (b *bounded) String() string {
	text := strings.Join(strings.Fields(strings.ToValidUTF8(string(b.kept), "?")), " ")
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, text)
	if b.dropped > 0 {
		text += fmt.Sprintf(" … (%d bytes more)", b.dropped)
	}
	return text
}
