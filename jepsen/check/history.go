package check

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
)

// Bounds of a history.
const (
	MaxOps  = 1 << 21 // operations
	maxLine = 2 << 20 // bytes of a line on disk
)

// ErrHistory is the base of errors about a history that cannot be used.
var ErrHistory = errors.New("history cannot be used")

// History collects the operations of all clients of a run. The zero value is empty; its methods may be called by any
// goroutine.
type History struct {
	mu  sync.Mutex
	ops []Op
	err error // the first operation that could not be recorded
}

// Add records an operation that ended, or that its client gave up. One that cannot be recorded (see [History.Err])
// spoils the history: it is not silently shorter.
func (h *History) Add(op Op) {
	err := op.check()
	h.mu.Lock()
	defer h.mu.Unlock()
	if err == nil && len(h.ops) >= MaxOps {
		err = fmt.Errorf("more than %d operations", MaxOps)
	}
	if err == nil {
		h.ops = append(h.ops, op)
	} else if h.err == nil {
		h.err = fmt.Errorf("%w: record %v: %w", ErrHistory, op, err)
	}
}

// Len is how many operations were recorded.
func (h *History) Len() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.ops)
}

// Err is nil unless an operation could not be recorded.
func (h *History) Err() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.err
}

// Ops is a copy of the operations in the order of their calls.
func (h *History) Ops() []Op {
	h.mu.Lock()
	defer h.mu.Unlock()
	ops := slices.Clone(h.ops)
	slices.SortStableFunc(ops, byCall)
	return ops
}

// WriteJSONL writes the operations in the order of their calls, one per line.
func (h *History) WriteJSONL(w io.Writer) error {
	if err := h.Err(); err != nil {
		return err
	}
	out := bufio.NewWriter(w)
	enc := json.NewEncoder(out) // ends each value with a newline
	enc.SetEscapeHTML(false)
	for _, op := range h.Ops() {
		if err := enc.Encode(op); err != nil {
			return fmt.Errorf("write history: %w", err)
		}
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("write history: %w", err)
	}
	return nil
}

// ReadJSONL reads what WriteJSONL wrote. It is strict: what it does not know, or what cannot be, is an error that names
// the line.
func ReadJSONL(r io.Reader) (*History, error) {
	in := bufio.NewScanner(r)
	in.Buffer(nil, maxLine)
	h := new(History)
	line := 0
	for in.Scan() {
		line++
		op, err := decodeOp(in.Bytes())
		if err != nil {
			return nil, fmt.Errorf("%w: line %d: %w", ErrHistory, line, err)
		}
		if h.Add(op); h.err != nil {
			return nil, fmt.Errorf("line %d: %w", line, h.err)
		}
	}
	if err := in.Err(); err != nil {
		return nil, fmt.Errorf("%w: line %d: %w", ErrHistory, line+1, err)
	}
	return h, nil
}

func decodeOp(line []byte) (Op, error) {
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.DisallowUnknownFields()
	var op Op
	if err := dec.Decode(&op); err != nil {
		return Op{}, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return Op{}, errors.New("more than one value")
	}
	return op, nil
}

func byCall(a, b Op) int {
	switch {
	case a.Call < b.Call:
		return -1
	case a.Call > b.Call:
		return 1
	}
	return 0
}
