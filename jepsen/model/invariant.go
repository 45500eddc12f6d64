package model

// Violation is a property that a state breaks. The empty one is none.
type Violation string

// The safety properties. S4 is liveness, see settle.go.
const (
	RoutesElsewhere   Violation = "S1a: a proxy routes writes to a datasource that is not the primary"
	WritableElsewhere Violation = "S1b: a server with a live agent is writable and is not the primary"
	LostWrite         Violation = "S2/S3: the primary lacks a write that a client was told is safe"
	OutlivedFailsafe  Violation = "S5: a failsafe lease lives on after the commit point"
)

// check returns the safety property that a state violates, or "".
func (m *Model) check(s *State) Violation {
	primary := s.Record.Primary
	for p := range m.Scope.Proxies {
		if x := &s.Proxies[p]; x.routes() && x.Index != primary {
			return RoutesElsewhere
		}
	}
	for i := range m.Scope.Servers {
		if i == primary {
			continue
		}
		a := &s.Servers[i]
		if a.Failsafe > 0 {
			return OutlivedFailsafe
		}
		if !a.ReadOnly && a.Process == Running {
			return WritableElsewhere
		}
	}
	if s.Servers[primary].Transaction.lacks(s.Safe) {
		return LostWrite
	}
	return ""
}
