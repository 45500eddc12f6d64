package fleet

import (
	"errors"
	"fmt"
	"io"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// janitorScript outlives the program that started it and cleans up after its death. It reads orders from a pipe:
// "+ PGID" and "- PGID" (a process group began, ended), "keep" (leave the directory), "dismiss" (end, touch nothing). The
// pipe's end without "dismiss" means that the program is dead. The sleep between two attempts is for processes that write
// a last file while they die. What is mounted below the directory (volumes of chaos tests, in a mount namespace that the janitor
// keeps alive) is let go first. Debian's sh knows no "--" in kill.
const janitorScript = `
dir=$1; keep=$2; groups=" "
while read -r order arg; do
	case $order in
	+) groups="$groups$arg " ;;
	-) groups="${groups%%" $arg "*} ${groups#*" $arg "}" ;;
	keep) keep=1 ;;
	dismiss) exit 0 ;;
	esac
done
for g in $groups; do kill -9 "-$g" 2>/dev/null; done
[ -n "$keep" ] && exit 0
while read -r _ mount _; do
	case $mount in "$dir"/*) umount -l "$mount" ;; esac
done </proc/mounts 2>/dev/null
for i in 1 2 3 4 5 6 7 8 9 10; do rm -rf -- "$dir" && exit 0; sleep 0.2; done 2>/dev/null
`

// janitorPatience bounds the janitor's end after it was dismissed.
const janitorPatience = 10 * time.Second

type janitor struct {
	cmd *exec.Cmd

	mu   sync.Mutex
	pipe io.WriteCloser
}

func startJanitor(s *spawner, dir string, keep bool) (*janitor, error) {
	flag := ""
	if keep {
		flag = "1"
	}
	cmd := exec.Command("/bin/sh", "-c", janitorScript, "zero-fleet-janitor", dir, flag)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // a terminal's Ctrl-C is not meant for it
	pipe, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := s.start(cmd, ""); err != nil {
		return nil, err
	}
	return &janitor{cmd: cmd, pipe: pipe}, nil
}

// began and ended keep the janitor's list of process groups. Between the two the group's number cannot be given to anybody
// else, because its first process has not been reaped.
func (j *janitor) began(pgid int) error { return j.order(fmt.Sprintf("+ %d\n", pgid)) }
func (j *janitor) ended(pgid int) error { return j.order(fmt.Sprintf("- %d\n", pgid)) }

func (j *janitor) order(line string) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if _, err := io.WriteString(j.pipe, line); err != nil {
		return fmt.Errorf("tell the janitor: %w", err)
	}
	return nil
}

// dismiss ends the janitor, which then touches nothing.
func (j *janitor) dismiss() error {
	err := j.order("dismiss\n")
	if errors.Is(err, syscall.EPIPE) {
		err = errors.New("the janitor is gone: somebody killed it")
	}
	kill := time.AfterFunc(janitorPatience, func() { _ = j.cmd.Process.Kill() })
	defer kill.Stop()
	if werr := j.cmd.Wait(); werr != nil {
		return errors.Join(err, fmt.Errorf("janitor: %w", werr))
	}
	return err
}
