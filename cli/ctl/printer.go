package ctl

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
)

// Formats of -o.
const (
	formatTable = "table"
	formatJSON  = "json"
)

// view is an answer in both of its forms. Err, when it is not nil, is why the
// answer is not the good one; it becomes a member of the JSON object and the
// exit code of the command.
type view struct {
	JSON any         // marshals to an object
	Text func(*text) // for people
	Err  error
}

// printer shows what a command has to say.
type printer interface {
	// Answer shows an answer on the standard output.
	Answer(v view) error
	// Failure shows an error that has no answer beside it.
	Failure(err error)
}

// newPrinter makes the printer for a format.
func newPrinter(format string, s *Streams) printer {
	if format == formatJSON {
		return &jsonPrinter{out: s.Out, err: s.Err}
	}
	return &tablePrinter{streams: s}
}

// tablePrinter writes for people: answers to stdout, errors to stderr.
type tablePrinter struct{ streams *Streams }

func (p *tablePrinter) Answer(v view) error {
	t := newText(p.streams.Out, p.streams.color(p.streams.OutTTY))
	v.Text(t)
	if err := t.flush(); err != nil {
		return fmt.Errorf("write the answer: %w", err)
	}
	return nil
}

func (p *tablePrinter) Failure(err error) { complain(p.streams.Err, err) }

// complain is an error in words, with what to do about it.
func complain(w io.Writer, err error) {
	fmt.Fprintf(w, "zeroctl: %v\n", printable(err.Error(), true))
	if hint := advice(err); hint != "" {
		fmt.Fprintln(w, hint)
	}
}

// jsonPrinter writes one JSON object to stdout, errors included.
type jsonPrinter struct{ out, err io.Writer }

// jsonError is the member "error".
type jsonError struct {
	Code    int32  `json:"code"`
	Message string `json:"message"`
	Exit    int    `json:"exit"`
}

func errorBody(err error) jsonError {
	return jsonError{Code: int32(codeOf(err)), Message: err.Error(), Exit: exitOf(err)}
}

func (p *jsonPrinter) Answer(v view) error {
	if v.Err == nil {
		return p.write(v.JSON)
	}
	// The answer's own members in their order, then the error's.
	body, err := encode(v.JSON)
	if err != nil {
		return fmt.Errorf("write the answer: %w", err)
	}
	failure, err := encode(map[string]jsonError{"error": errorBody(v.Err)})
	if err != nil {
		return fmt.Errorf("write the answer: %w", err)
	}
	if len(body) > len("{}") {
		body = append(append(body[:len(body)-1], ','), failure[1:]...)
	} else {
		body = failure
	}
	return p.write(json.RawMessage(body))
}

func (p *jsonPrinter) Failure(err error) {
	if werr := p.write(map[string]jsonError{"error": errorBody(err)}); werr != nil {
		complain(p.err, err)
		complain(p.err, werr)
	}
}

func (p *jsonPrinter) write(v any) error {
	body, err := encode(v)
	if err != nil {
		return fmt.Errorf("write the answer: %w", err)
	}
	var out bytes.Buffer
	if err := json.Indent(&out, body, "", "  "); err != nil {
		return fmt.Errorf("write the answer: %w", err)
	}
	out.WriteByte('\n')
	if _, err := p.out.Write(out.Bytes()); err != nil {
		return fmt.Errorf("write the answer: %w", err)
	}
	return nil
}

// encode is an object without the escapes that only HTML needs.
func encode(v any) ([]byte, error) {
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), nil
}
