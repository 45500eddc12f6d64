package conf

import (
	"errors"
	"fmt"
	"slices"
)

// Errors of [Remap].
var (
	// ErrSwitchInProgress: the list of a group changes while a switch is open.
	ErrSwitchInProgress = errors.New("a switch of the host group is in progress")
	// ErrWritableRemoved: the new list lacks the current primary.
	ErrWritableRemoved = errors.New("the current primary is not in the new list")
)

// Remap finds the writable index of an existing host group in the write list of
// a pushed configuration. A datasource is known by its address, so that entries
// may be added, removed and re-ordered.
//
// oldAddrs is the list in force and writable the index of the primary in it;
// newAddrs is the pushed list (empty if the group is gone from it) and
// newActive its active_write, -1 if it has none ([HostGroup.GivenActive]). All addresses are canonical ([Datasource].Address).
// openSwitch tells whether a switch of the group is in progress.
//
// active_write only seeds a new group: where it differs from the primary it is
// ignored, with a warning. The error is [ErrSwitchInProgress] (wait for it to
// end) or [ErrWritableRemoved] (switch away first), or says that the arguments
// contradict themselves.
func Remap(oldAddrs []string, writable int, openSwitch bool, newAddrs []string, newActive int) (newWritable int, warnings []string, err error) {
	if writable < 0 || writable >= len(oldAddrs) {
		return 0, nil, fmt.Errorf("remap: the writable index is %d, but the list in force has %d datasources", writable, len(oldAddrs))
	}
	if openSwitch && !slices.Equal(oldAddrs, newAddrs) {
		return 0, nil, fmt.Errorf("remap: %w; its list of datasources cannot change until it ends", ErrSwitchInProgress)
	}
	primary := oldAddrs[writable]
	newWritable = slices.Index(newAddrs, primary)
	if newWritable < 0 {
		return 0, nil, fmt.Errorf("remap: %w: %s; switch to another datasource first", ErrWritableRemoved, primary)
	}
	if slices.Contains(newAddrs[newWritable+1:], primary) {
		return 0, nil, fmt.Errorf("remap: the new list has %s twice", primary)
	}
	if newActive >= 0 && newActive != newWritable {
		warnings = append(warnings, fmt.Sprintf("active_write is %d, but the primary is %s, index %d; it is ignored (use a switch to move the primary)", newActive, primary, newWritable))
	}
	return newWritable, warnings, nil
}
