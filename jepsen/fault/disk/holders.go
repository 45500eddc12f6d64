package disk

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// maxHolders bounds the list in an error message.
const maxHolders = 8

// holders names the processes that keep the volume at dir busy: with a file, a
// directory or a mapping in it, or with a copy of the mount of device (major:minor,
// may be empty) in another mount namespace. It is a help in error messages: what
// cannot be read, because a process is going, is left out.
func holders(dir, device string) string {
	ours, err := os.Readlink("/proc/self/ns/mnt")
	if err != nil {
		return "unknown: " + err.Error()
	}
	procs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return "unknown: " + err.Error()
	}
	var found []string
	for _, proc := range procs {
		why := holds(proc, dir)
		if why == "" && device != "" {
			if ns, err := os.Readlink(filepath.Join(proc, "ns/mnt")); err == nil && ns != ours && hasMount(proc, device) {
				why = "its mount namespace has a copy of the mount"
			}
		}
		if why == "" {
			continue
		}
		if len(found) == maxHolders {
			found = append(found, "and more")
			break
		}
		name, err := os.ReadFile(filepath.Join(proc, "comm"))
		if err != nil {
			continue
		}
		found = append(found, fmt.Sprintf("pid %s %s: %s", filepath.Base(proc), strings.TrimSpace(string(name)), why))
	}
	if found == nil {
		return "nobody that /proc knows"
	}
	return strings.Join(found, "; ")
}

// holds tells by what the process keeps dir busy, or "".
func holds(proc, dir string) string {
	inside := func(p string) bool { return p == dir || strings.HasPrefix(p, dir+"/") }
	links := []string{filepath.Join(proc, "cwd"), filepath.Join(proc, "root"), filepath.Join(proc, "exe")}
	if fds, err := filepath.Glob(filepath.Join(proc, "fd/*")); err == nil {
		links = append(links, fds...)
	}
	for _, link := range links {
		if to, err := os.Readlink(link); err == nil && inside(to) {
			return "has " + to
		}
	}
	maps, err := os.Open(filepath.Join(proc, "maps"))
	if err != nil {
		return ""
	}
	defer maps.Close()
	for lines := bufio.NewScanner(maps); lines.Scan(); {
		if _, file, ok := strings.Cut(lines.Text(), "/"); ok && inside("/"+file) {
			return "maps /" + file
		}
	}
	return ""
}

// hasMount looks for a file system by its device in a process's mounts.
func hasMount(proc, device string) bool {
	text, err := os.ReadFile(filepath.Join(proc, "mountinfo"))
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) > 2 && f[2] == device {
			return true
		}
	}
	return false
}
