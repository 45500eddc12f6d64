package disk

import (
	"context"
	"io"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// fsyncData is FUSE_FSYNC_FDATASYNC of linux/fuse.h: fdatasync is enough.
const fsyncData = 1

// handle is an open file. It is not go-fuse's, whose descriptor the kernel may
// use past this process (FUSE passthrough), and which holds a lock during fsync.
// The kernel releases a handle after the last operation on it.
type handle struct {
	fd     int
	gate   *gate
	synced bool // O_DSYNC or O_SYNC: each write is an fsync, too
}

var (
	_ fs.FileReader    = (*handle)(nil)
	_ fs.FileWriter    = (*handle)(nil)
	_ fs.FileFsyncer   = (*handle)(nil)
	_ fs.FileGetattrer = (*handle)(nil)
	_ fs.FileAllocater = (*handle)(nil)
	_ fs.FileLseeker   = (*handle)(nil)
	_ fs.FileReleaser  = (*handle)(nil)
)

func (h *handle) Read(ctx context.Context, buf []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	if errno, _ := h.gate.pass(ctx, opRead); errno != 0 {
		return nil, errno
	}
	n := 0
	for n < len(buf) {
		m, err := unix.Pread(h.fd, buf[n:], off+int64(n))
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			return nil, fs.ToErrno(err)
		}
		if m == 0 {
			break
		}
		n += m
	}
	return fuse.ReadResultData(buf[:n]), 0
}

func (h *handle) Write(ctx context.Context, data []byte, off int64) (uint32, syscall.Errno) {
	errno, tear := h.gate.pass(ctx, opWrite)
	if tear {
		// A disk that does not even take the part is the same error.
		if err := h.write(torn(data, off), off); err != nil {
			return 0, fs.ToErrno(err)
		}
	}
	if errno == 0 && h.synced {
		errno, _ = h.gate.pass(ctx, opSync)
	}
	if errno != 0 {
		return 0, errno
	}
	if err := h.write(data, off); err != nil {
		return 0, fs.ToErrno(err)
	}
	return uint32(len(data)), 0
}

// torn is the part of a write at off that reaches the disk: half, in sectors.
func torn(data []byte, off int64) []byte {
	end := (off + int64(len(data)/2)) / sector * sector
	return data[:max(end-off, 0)]
}

func (h *handle) write(data []byte, off int64) error {
	for len(data) > 0 {
		n, err := unix.Pwrite(h.fd, data, off)
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		if n == 0 {
			return io.ErrShortWrite
		}
		data, off = data[n:], off+int64(n)
	}
	return nil
}

func (h *handle) Fsync(ctx context.Context, flags uint32) syscall.Errno {
	if errno, _ := h.gate.pass(ctx, opSync); errno != 0 {
		return errno
	}
	if flags&fsyncData != 0 {
		return fs.ToErrno(unix.Fdatasync(h.fd))
	}
	return fs.ToErrno(unix.Fsync(h.fd))
}

func (h *handle) Getattr(_ context.Context, out *fuse.AttrOut) syscall.Errno {
	var st syscall.Stat_t
	if err := syscall.Fstat(h.fd, &st); err != nil {
		return fs.ToErrno(err)
	}
	out.FromStat(&st)
	return 0
}

func (h *handle) Allocate(ctx context.Context, off, size uint64, mode uint32) syscall.Errno {
	if errno, _ := h.gate.pass(ctx, opGrow); errno != 0 {
		return errno
	}
	return fs.ToErrno(unix.Fallocate(h.fd, mode, int64(off), int64(size)))
}

func (h *handle) Lseek(_ context.Context, off uint64, whence uint32) (uint64, syscall.Errno) {
	n, err := unix.Seek(h.fd, int64(off), int(whence))
	return uint64(n), fs.ToErrno(err)
}

func (h *handle) Release(context.Context) syscall.Errno { return fs.ToErrno(syscall.Close(h.fd)) }

// dir is what go-fuse's loopback opens a directory as.
type dir interface {
	fs.FileReaddirenter
	fs.FileReleasedirer
	fs.FileSeekdirer
	fs.FileFsyncdirer
}

// dirHandle is an open directory whose fsync meets the gate.
type dirHandle struct {
	dir
	gate *gate
}

func (d *dirHandle) Fsyncdir(ctx context.Context, flags uint32) syscall.Errno {
	if errno, _ := d.gate.pass(ctx, opSync); errno != 0 {
		return errno
	}
	return d.dir.Fsyncdir(ctx, flags)
}
