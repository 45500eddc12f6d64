package ctl

import (
	"encoding/hex"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/zerokeeper/zero/transport/api"
)

// maxSection bounds the data of a section, in bytes: as base64 in a request
// with its keys it must fit in one frame of 512 KiB.
const maxSection = 380 << 10

// sectionCommand is "zeroctl section".
func (a *app) sectionCommand() *cobra.Command {
	return group("section", "Stored data, by id and section", a.sectionGetCommand(), a.sectionPutCommand())
}

// hexFlag adds --hex.
func hexFlag(cmd *cobra.Command, on *bool) {
	cmd.Flags().BoolVar(on, "hex", false, "ID, SECTION and the data are hexadecimal, on the command line and in the output")
}

// bytesOf reads an argument, which is text or hexadecimal.
func bytesOf(what, arg string, asHex bool) ([]byte, error) {
	if !asHex {
		return []byte(arg), nil
	}
	data, err := hex.DecodeString(strings.TrimSpace(arg))
	if err != nil {
		return nil, badInput("%s is not hexadecimal: %w", what, err)
	}
	return data, nil
}

// keyOf reads the two keys.
func keyOf(args []string, asHex bool) (api.SectionRequest, error) {
	id, err := bytesOf("ID", args[0], asHex)
	if err != nil {
		return api.SectionRequest{}, err
	}
	section, err := bytesOf("SECTION", args[1], asHex)
	return api.SectionRequest{ID: id, Section: section}, err
}

func (a *app) sectionGetCommand() *cobra.Command {
	var asHex, withTime bool
	cmd := a.consistencyFlag(&cobra.Command{
		Use: "get ID SECTION", Short: "Print the data of a section, byte for byte", Args: cobra.ExactArgs(2),
		Long: `Writes the data as it is to the standard output: no byte is added or changed, so
that it can be redirected. --info prints when it was written, on stderr. With
-o json the data is in base64.`,
		Example: "  zeroctl section get host-17 disks > disks.bin\n  zeroctl section get --hex 00ff 01",
		RunE: func(cmd *cobra.Command, args []string) error {
			request, err := keyOf(args, asHex)
			if err != nil {
				return err
			}
			var answer api.SectionAnswer
			if err := a.read(cmd.Context(), api.SectionGet, request, &answer); err != nil {
				return err
			}
			if a.output == formatJSON {
				return a.answer(view{JSON: answer})
			}
			if withTime {
				fmt.Fprintf(a.streams.Err, "written %s, version %d, index %d, %d bytes\n", clock(time.Unix(answer.Timestamp, 0)), answer.Version, answer.Index, len(answer.Data))
			}
			return a.writeBytes(answer.Data, asHex)
		},
	})
	hexFlag(cmd, &asHex)
	cmd.Flags().BoolVar(&withTime, "info", false, "print the time, version and index of the write on stderr")
	return cmd
}

// writeBytes writes data to stdout: as it is, as a line of hexadecimal, or, to
// a terminal that it could upset, with its control characters escaped.
func (a *app) writeBytes(data []byte, asHex bool) error {
	switch {
	case asHex:
		data = append(hex.AppendEncode(nil, data), '\n')
	case a.streams.OutTTY:
		data = append([]byte(printable(string(data), true)), '\n')
	}
	if _, err := a.streams.Out.Write(data); err != nil {
		return fmt.Errorf("write the data: %w", err)
	}
	return nil
}

// flagIfVersion is compare-and-set for section put.
const flagIfVersion = "if-version"

func (a *app) sectionPutCommand() *cobra.Command {
	var asHex bool
	var version uint64
	cmd := &cobra.Command{
		Use: "put ID SECTION [DATA|-]", Short: "Store the data of a section", Args: cobra.RangeArgs(2, 3),
		Long: "Stores DATA, or the standard input where DATA is - or is left out. It happens\nonce, however often the request had to be sent.",
		Example: `  zeroctl section put host-17 role primary
  zeroctl section put host-17 disks - < disks.bin
  zeroctl section put --hex 00ff 01 deadbeef`,
		RunE: func(cmd *cobra.Command, args []string) error {
			request, err := keyOf(args, asHex)
			if err != nil {
				return err
			}
			if request.Data, err = a.sectionData(args, asHex); err != nil {
				return err
			}
			if cmd.Flags().Changed(flagIfVersion) {
				request.Version = &version
			}
			var answer api.SectionPutAnswer
			if err := a.write(cmd.Context(), 0, api.SectionPut, request, &answer); err != nil {
				return err
			}
			return a.answer(view{
				JSON: map[string]any{"id": request.ID, "section": request.Section, "bytes": len(request.Data), "version": answer.Version, "result": "stored"},
				Text: func(t *text) {
					t.Line("section %s %s stored, %d bytes, version %d", args[0], args[1], len(request.Data), answer.Version)
				},
			})
		},
	}
	hexFlag(cmd, &asHex)
	cmd.Flags().Uint64Var(&version, flagIfVersion, 0, "store only if the section is at this version (see get --info); 0: only if there is none")
	return cmd
}

// sectionData is the third argument or the standard input.
func (a *app) sectionData(args []string, asHex bool) ([]byte, error) {
	if len(args) == 3 && args[2] != "-" {
		data, err := bytesOf("DATA", args[2], asHex)
		if err == nil && len(data) > maxSection {
			return nil, badInput("DATA has %d bytes, at most %d", len(data), maxSection)
		}
		return data, err
	}
	if len(args) == 2 && a.streams.InTTY {
		return nil, usage("section put needs DATA, or - and data on the standard input")
	}
	limit := maxSection
	if asHex {
		limit = 2*maxSection + 2 // two digits for a byte, a line break
	}
	data, err := a.readStdin(limit)
	if err != nil {
		return nil, err
	}
	if asHex {
		return bytesOf("the standard input", string(data), true)
	}
	return data, nil
}

// readStdin reads the standard input, of at most limit bytes.
func (a *app) readStdin(limit int) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(a.streams.In, int64(limit)+1))
	if err != nil {
		return nil, fmt.Errorf("read the standard input: %w", err)
	}
	if len(data) > limit {
		return nil, badInput("the standard input has more than %d bytes", limit)
	}
	return data, nil
}
