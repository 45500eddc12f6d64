// Package disk breaks the volume that a node's data lives on. Ext4 is a real
// file system on a loop device: it can lose what was not synced, run full, hang,
// go away. FUSE is a directory that is passed through this process: it can fail
// single operations. The functions of damage.go change the files of a stopped
// node. The package runs on Linux only and needs root.
//
// # Invariants
//
//   - A fault that did not take is an error: Break and PowerCut look whether the
//     volume fails before they say that it does, and what damages a file reads it
//     back and compares. ErrVoid: nothing changed.
//   - Nothing is left behind: mounts and loop devices (autoclear) end with the
//     mount namespace of the process that made them, see fault/enter; a guard
//     process thaws a frozen volume when its maker is killed, because what waits
//     on it cannot even be killed.
//   - A volume is mounted once: Restore refuses while the old superblock is held
//     by anybody, in this or another mount namespace, and names the holders. Two
//     superblocks on one image would destroy it.
//   - Every wait has a bound, but for the operations that a fault makes wait:
//     those end with Heal, Close or the death of their caller.
package disk
