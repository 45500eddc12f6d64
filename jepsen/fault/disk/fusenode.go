package disk

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// node is a file or directory of a FUSE: go-fuse's loopback, behind the gate.
// Locks are not here: the kernel keeps those of one machine.
type node struct {
	fs.LoopbackNode
	gate *gate
}

func newRoot(backing string, g *gate) (*node, error) {
	info, err := os.Stat(backing)
	if err != nil {
		return nil, err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || !info.IsDir() {
		return nil, fmt.Errorf("backing %s: %w", backing, syscall.ENOTDIR)
	}
	data := &fs.LoopbackRoot{Path: backing, Dev: st.Dev}
	data.NewNode = func(data *fs.LoopbackRoot, _ *fs.Inode, _ string, _ *syscall.Stat_t) fs.InodeEmbedder {
		return &node{LoopbackNode: fs.LoopbackNode{RootData: data}, gate: g}
	}
	root := &node{LoopbackNode: fs.LoopbackNode{RootData: data}, gate: g}
	data.RootNode = root
	return root, nil
}

// path is where the node is in the backing directory.
func (n *node) path() string {
	return filepath.Join(n.RootData.Path, n.Path(n.RootData.RootNode.EmbeddedInode()))
}

// check is gate.pass for what cannot be torn.
func (n *node) check(ctx context.Context, kind opKind) syscall.Errno {
	errno, _ := n.gate.pass(ctx, kind)
	return errno
}

func (n *node) Lookup(ctx context.Context, name string, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	if errno := n.check(ctx, opRead); errno != 0 {
		return nil, errno
	}
	return n.LoopbackNode.Lookup(ctx, name, out)
}

func (n *node) Getattr(ctx context.Context, f fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	if errno := n.check(ctx, opRead); errno != 0 {
		return errno
	}
	return n.LoopbackNode.Getattr(ctx, f, out)
}

func (n *node) Readlink(ctx context.Context) ([]byte, syscall.Errno) {
	if errno := n.check(ctx, opRead); errno != 0 {
		return nil, errno
	}
	return n.LoopbackNode.Readlink(ctx)
}

func (n *node) Mkdir(ctx context.Context, name string, mode uint32, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	if errno := n.check(ctx, opGrow); errno != 0 {
		return nil, errno
	}
	return n.LoopbackNode.Mkdir(ctx, name, mode, out)
}

func (n *node) Mknod(ctx context.Context, name string, mode, dev uint32, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	if errno := n.check(ctx, opGrow); errno != 0 {
		return nil, errno
	}
	return n.LoopbackNode.Mknod(ctx, name, mode, dev, out)
}

func (n *node) Symlink(ctx context.Context, target, name string, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	if errno := n.check(ctx, opGrow); errno != 0 {
		return nil, errno
	}
	return n.LoopbackNode.Symlink(ctx, target, name, out)
}

func (n *node) Link(ctx context.Context, target fs.InodeEmbedder, name string, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	if errno := n.check(ctx, opGrow); errno != 0 {
		return nil, errno
	}
	return n.LoopbackNode.Link(ctx, target, name, out)
}

func (n *node) Rmdir(ctx context.Context, name string) syscall.Errno {
	if errno := n.check(ctx, opChange); errno != 0 {
		return errno
	}
	return n.LoopbackNode.Rmdir(ctx, name)
}

func (n *node) Unlink(ctx context.Context, name string) syscall.Errno {
	if errno := n.check(ctx, opChange); errno != 0 {
		return errno
	}
	return n.LoopbackNode.Unlink(ctx, name)
}

func (n *node) Rename(ctx context.Context, name string, parent fs.InodeEmbedder, newName string, flags uint32) syscall.Errno {
	if errno := n.check(ctx, opChange); errno != 0 {
		return errno
	}
	to, ok := parent.(*node)
	if !ok {
		return syscall.EXDEV
	}
	// Not the loopback's, which forgets RENAME_NOREPLACE.
	return fs.ToErrno(unix.Renameat2(unix.AT_FDCWD, filepath.Join(n.path(), name), unix.AT_FDCWD, filepath.Join(to.path(), newName), uint(flags)))
}

func (n *node) Setxattr(ctx context.Context, attr string, data []byte, flags uint32) syscall.Errno {
	if errno := n.check(ctx, opChange); errno != 0 {
		return errno
	}
	return n.LoopbackNode.Setxattr(ctx, attr, data, flags)
}

func (n *node) Removexattr(ctx context.Context, attr string) syscall.Errno {
	if errno := n.check(ctx, opChange); errno != 0 {
		return errno
	}
	return n.LoopbackNode.Removexattr(ctx, attr)
}

// CopyFileRange lets the kernel copy by reads and writes, which meet the gate.
func (n *node) CopyFileRange(context.Context, fs.FileHandle, uint64, *fs.Inode, fs.FileHandle, uint64, uint64, uint64) (uint32, syscall.Errno) {
	return 0, syscall.ENOSYS
}

// Setattr changes the size through the handle, since the file may have no name
// any more, and the rest by name.
func (n *node) Setattr(ctx context.Context, f fs.FileHandle, in *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	kind := opChange
	size, resize := in.GetSize()
	if resize {
		var now fuse.AttrOut
		if errno := n.LoopbackNode.Getattr(ctx, f, &now); errno != 0 {
			return errno
		}
		if size > now.Size {
			kind = opGrow
		}
	}
	if errno := n.check(ctx, kind); errno != 0 {
		return errno
	}
	h, ok := f.(*handle)
	if !resize || !ok {
		return n.LoopbackNode.Setattr(ctx, nil, in, out)
	}
	if err := syscall.Ftruncate(h.fd, int64(size)); err != nil {
		return fs.ToErrno(err)
	}
	rest := *in
	rest.Valid &^= fuse.FATTR_SIZE
	if rest.Valid&(fuse.FATTR_MODE|fuse.FATTR_UID|fuse.FATTR_GID|fuse.FATTR_MTIME|fuse.FATTR_ATIME) != 0 {
		if errno := n.LoopbackNode.Setattr(ctx, nil, &rest, out); errno != 0 {
			return errno
		}
	}
	return h.Getattr(ctx, out)
}

// ours are the open flags for the backing file: appending is the kernel's (it
// sends offsets), and aligned buffers are not promised by this process.
func ours(flags uint32) int {
	return int(flags)&^(syscall.O_APPEND|syscall.O_DIRECT) | syscall.O_CLOEXEC | syscall.O_NOFOLLOW
}

func (n *node) Open(ctx context.Context, flags uint32) (fs.FileHandle, uint32, syscall.Errno) {
	kind := opRead
	if flags&syscall.O_TRUNC != 0 {
		kind = opChange
	}
	if errno := n.check(ctx, kind); errno != 0 {
		return nil, 0, errno
	}
	fd, err := syscall.Open(n.path(), ours(flags), 0)
	if err != nil {
		return nil, 0, fs.ToErrno(err)
	}
	return &handle{fd: fd, gate: n.gate, synced: flags&syscall.O_DSYNC != 0}, 0, 0
}

func (n *node) Create(ctx context.Context, name string, flags, mode uint32, out *fuse.EntryOut) (*fs.Inode, fs.FileHandle, uint32, syscall.Errno) {
	if errno := n.check(ctx, opGrow); errno != 0 {
		return nil, nil, 0, errno
	}
	path := filepath.Join(n.path(), name)
	fd, err := syscall.Open(path, ours(flags)|syscall.O_CREAT, mode)
	if err != nil {
		return nil, nil, 0, fs.ToErrno(err)
	}
	h := &handle{fd: fd, gate: n.gate, synced: flags&syscall.O_DSYNC != 0}
	var st syscall.Stat_t
	if caller, ok := fuse.FromContext(ctx); ok {
		err = syscall.Fchown(fd, int(caller.Uid), int(caller.Gid))
	}
	if err == nil {
		err = syscall.Fstat(fd, &st)
	}
	if err == nil {
		var child *fs.Inode
		var errno syscall.Errno
		if child, errno = n.LoopbackNode.Lookup(ctx, name, out); errno == 0 {
			return child, h, 0, 0
		}
		err = errno
	}
	h.Release(ctx)
	return nil, nil, 0, fs.ToErrno(err)
}

func (n *node) OpendirHandle(ctx context.Context, flags uint32) (fs.FileHandle, uint32, syscall.Errno) {
	if errno := n.check(ctx, opRead); errno != 0 {
		return nil, 0, errno
	}
	h, out, errno := n.LoopbackNode.OpendirHandle(ctx, flags)
	if errno != 0 {
		return nil, 0, errno
	}
	d, ok := h.(dir)
	if !ok {
		return nil, 0, syscall.ENOTSUP
	}
	return &dirHandle{dir: d, gate: n.gate}, out, 0
}
