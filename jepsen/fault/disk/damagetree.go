package disk

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// CopyTree copies the directory src to dst, which must be missing or empty:
// directories, files and links with their modes. Sockets and pipes, which hold
// nothing, are left out. All of it is synced.
func CopyTree(dst, src string) (string, error) {
	if err := os.MkdirAll(dst, 0o700); err != nil {
		return "", fmt.Errorf("copy tree: %w", err)
	}
	there, err := os.ReadDir(dst)
	if err != nil {
		return "", fmt.Errorf("copy tree: %w", err)
	}
	if len(there) > 0 {
		return "", fmt.Errorf("copy tree: %s is not empty", dst)
	}
	files, size := 0, int64(0)
	err = filepath.WalkDir(src, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(src, path)
		if err != nil || rel == "." {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		to := filepath.Join(dst, rel)
		switch info.Mode().Type() {
		case fs.ModeDir:
			return os.Mkdir(to, info.Mode().Perm()|0o700)
		case fs.ModeSymlink:
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			return os.Symlink(target, to)
		case 0:
			n, err := copyFile(to, path, info.Mode().Perm())
			files, size = files+1, size+n
			return err
		}
		return nil
	})
	if err != nil {
		return "", fmt.Errorf("copy tree: %w", err)
	}
	if files == 0 {
		return "", fmt.Errorf("copy tree: no files in %s: %w", src, ErrVoid)
	}
	return fmt.Sprintf("copied %d files, %d bytes, from %s to %s", files, size, src, dst), nil
}

// ReplaceTree empties the directory dst, which stays what it is (a mount, too),
// and fills it with a copy of src: an older state of the same node, or another's.
// When dst has the same files already it is ErrVoid.
func ReplaceTree(dst, src string) (string, error) {
	now, err := treeHash(dst)
	if err != nil {
		return "", fmt.Errorf("replace tree: %w", err)
	}
	then, err := treeHash(src)
	if err != nil {
		return "", fmt.Errorf("replace tree: %w", err)
	}
	if bytes.Equal(now, then) {
		return "", fmt.Errorf("replace tree: %s is what %s is: %w", dst, src, ErrVoid)
	}
	entries, err := os.ReadDir(dst)
	if err != nil {
		return "", fmt.Errorf("replace tree: %w", err)
	}
	for _, e := range entries {
		if err := os.RemoveAll(filepath.Join(dst, e.Name())); err != nil {
			return "", fmt.Errorf("replace tree: %w", err)
		}
	}
	what, err := CopyTree(dst, src)
	if err != nil {
		return "", err
	}
	if now, err = treeHash(dst); err != nil {
		return "", fmt.Errorf("replace tree: %w", err)
	}
	if !bytes.Equal(now, then) {
		return "", fmt.Errorf("replace tree: %s differs from %s after the copy: %w", dst, src, ErrVoid)
	}
	return "emptied " + dst + ", " + what, nil
}

func copyFile(dst, src string, mode fs.FileMode) (n int64, err error) {
	in, err := os.Open(src)
	if err != nil {
		return 0, err
	}
	defer in.Close()
	out, err := os.OpenFile(dst, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return 0, err
	}
	n, err = io.Copy(out, in)
	return n, errors.Join(err, out.Sync(), out.Close())
}

// treeHash is over the names and contents of all files and links in dir.
func treeHash(dir string) ([]byte, error) {
	all := sha256.New()
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		switch entry.Type() {
		case fs.ModeSymlink:
			target, err := os.Readlink(path)
			fmt.Fprintf(all, "link %q %q\n", rel, target)
			return err
		case 0:
			f, err := os.Open(path)
			if err != nil {
				return err
			}
			defer f.Close()
			one := sha256.New()
			_, err = io.Copy(one, f)
			fmt.Fprintf(all, "file %q %x\n", rel, one.Sum(nil))
			return err
		}
		return nil
	})
	return all.Sum(nil), err
}
