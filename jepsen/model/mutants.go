package model

// Mutant is the protocol without some guards, and a scope that is small enough to show what then breaks.
type Mutant struct {
	Name  string   // of the guards, joined by +
	Off   []Guard  // what is taken out
	Rules []string // the rules or clauses that it removes, as R7 or R12c
	Scope string   // the smallest scope that catches it
	Steps int      // length of the shortest counterexample
	Cost  int      // states that are visited until it is caught, about: which of a level come first is chance
}

// quickCost is what every test run can afford for each mutant.
const quickCost = 100_000

// Quick says whether the mutant is caught in a fraction of a second.
func (m Mutant) Quick() bool { return m.Cost <= quickCost }

// Guards is the protocol that the mutant follows.
func (m Mutant) Guards() Guards { return AllGuards.Without(m.Off...) }

// Mutants are all mutants, in the order of their rules. A pair stands for a guard that another covers: within the
// scopes nothing breaks without LockKept while there is Durable, nor without NoAckFree while there is AckCheck.
func Mutants() []Mutant {
	all := []Mutant{
		{Off: []Guard{VerifyGrant}, Rules: []string{"R1"}, Scope: "agents", Steps: 10, Cost: 39_000},
		{Off: []Guard{ElectionWait}, Rules: []string{"R2"}, Scope: "agents", Steps: 6, Cost: 1_000},
		{Off: []Guard{OwnWait}, Rules: []string{"R2"}, Scope: "agents", Steps: 9, Cost: 12_000},
		{Off: []Guard{DriftMargin}, Rules: []string{"R3"}, Scope: "agents", Steps: 7, Cost: 3_000},
		{Off: []Guard{GroupGrant}, Rules: []string{"R4"}, Scope: "plain", Steps: 9, Cost: 9_000},
		{Off: []Guard{UnregWait}, Rules: []string{"R5"}, Scope: "members", Steps: 7, Cost: 18_000},
		{Off: []Guard{LogFirst}, Rules: []string{"R6"}, Scope: "agents", Steps: 8, Cost: 6_000},
		{Off: []Guard{Term}, Rules: []string{"R7"}, Scope: "agents", Steps: 10, Cost: 19_000},
		{Off: []Guard{CAS}, Rules: []string{"R7"}, Scope: "agents-late", Steps: 10, Cost: 9_000},
		{Off: []Guard{FreshGen}, Rules: []string{"R8"}, Scope: "agents-late", Steps: 12, Cost: 13_000},
		{Off: []Guard{StepOrder}, Rules: []string{"R8"}, Scope: "agents", Steps: 9, Cost: 11_000},
		{Off: []Guard{Unknown}, Rules: []string{"R9"}, Scope: "agents", Steps: 9, Cost: 10_000},
		{Off: []Guard{LeaseFromSend}, Rules: []string{"R10"}, Scope: "agents", Steps: 9, Cost: 12_000},
		{Off: []Guard{StartHeld}, Rules: []string{"R11"}, Scope: "restart", Steps: 8, Cost: 14_000},
		{Off: []Guard{Drain}, Rules: []string{"R12a"}, Scope: "crash-write", Steps: 15, Cost: 2525_000},
		{Off: []Guard{AckCheck}, Rules: []string{"R12c"}, Scope: "crash-write", Steps: 12, Cost: 620_000},
		{Off: []Guard{PrepareFirst}, Rules: []string{"R13"}, Scope: "failsafe-agents", Steps: 9, Cost: 16_000},
		{Off: []Guard{PromiseHold}, Rules: []string{"R13"}, Scope: "failsafe-agents", Steps: 10, Cost: 35_000},
		{Off: []Guard{Level}, Rules: []string{"R14"}, Scope: "agents-late", Steps: 11, Cost: 2_000},
		{Off: []Guard{StartFence}, Rules: []string{"R14"}, Scope: "failsafe-agents", Steps: 8, Cost: 13_000},
		{Off: []Guard{SoftLimit}, Rules: []string{"R15"}, Scope: "plain", Steps: 6, Cost: 2_000},
		{Off: []Guard{Durable}, Rules: []string{"R16"}, Scope: "failsafe-agents", Steps: 19, Cost: 90_000},
		{Off: []Guard{Durable, LockKept}, Rules: []string{"R16"}, Scope: "failsafe-agents", Steps: 13, Cost: 57_000},
		{Off: []Guard{PromiseKept}, Rules: []string{"R16"}, Scope: "failsafe-agents", Steps: 13, Cost: 68_000},
		{Off: []Guard{SetAcked}, Rules: []string{"R17"}, Scope: "failsafe-agents-join", Steps: 11, Cost: 73_000},
		{Off: []Guard{SetQuiet}, Rules: []string{"R17"}, Scope: "failsafe-join", Steps: 17, Cost: 2320_000},
		{Off: []Guard{AskAll}, Rules: []string{"R18b"}, Scope: "failsafe-agents-3", Steps: 10, Cost: 61_000},
		{Off: []Guard{FsRefuse}, Rules: []string{"R18c"}, Scope: "failsafe-agents", Steps: 10, Cost: 36_000},
		{Off: []Guard{FsFromSend}, Rules: []string{"R18d"}, Scope: "failsafe-agents-time", Steps: 10, Cost: 19_000},
		{Off: []Guard{LentBound}, Rules: []string{"R18e"}, Scope: "failsafe-time", Steps: 13, Cost: 1632_000},
		{Off: []Guard{FsIdle}, Rules: []string{"R18f"}, Scope: "failsafe-time", Steps: 18, Cost: 7264_000},
		{Off: []Guard{LosslessSet}, Rules: []string{"R19"}, Scope: "lossless", Steps: 13, Cost: 1610_000},
		{Off: []Guard{SemiRecorded}, Rules: []string{"R20"}, Scope: "lossless-extra", Steps: 14, Cost: 1518_000},
		{Off: []Guard{MyCnf}, Rules: []string{"R21"}, Scope: "mysqld", Steps: 1, Cost: 10},
		{Off: []Guard{NoAckFree, AckCheck}, Rules: []string{"R22", "R12c"}, Scope: "lossless-2", Steps: 18, Cost: 5201_000},
		{Off: []Guard{DrainCounted}, Rules: []string{"R2"}, Scope: "drain-time", Steps: 15, Cost: 2040_000},
		{Off: []Guard{DrainHeld}, Rules: []string{"R4"}, Scope: "drain", Steps: 9, Cost: 27_000},
		{Off: []Guard{DrainLives}, Rules: []string{"R12d"}, Scope: "drain", Steps: 15, Cost: 447_000},
		{Off: []Guard{Supersede}, Rules: []string{"R23"}, Scope: "agents-late", Steps: 11, Cost: 13_000},
	}
	for i := range all {
		all[i].Name = joinGuards(all[i].Off)
	}
	return all
}
