package netns

import (
	"encoding/binary"
	"fmt"
	"math"
	"net/netip"
	"os"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// drops is the filter of a bridge:
//
//	table bridge zero {
//	    counter hit { }
//	    set cut { type ipv4_addr . ipv4_addr }
//	    chain cut  { type filter hook forward priority 0; meta protocol ip ip saddr . ip daddr @cut counter name hit drop }
//	    chain loss { type filter hook forward priority 1; # a line for each direction that loses:
//	                 meta protocol ip ip saddr . ip daddr A . B numgen random mod 2^31 < SHARE counter name hit drop }
//	}
//
// ARP passes: a cut that lasts makes nobody forget where the others are.
type drops struct {
	conn  *nftables.Conn
	table *nftables.Table
	cut   *nftables.Set
	loss  *nftables.Chain
}

// drop is one direction, and what share of it the kernel throws away.
type drop struct {
	from, to netip.Addr
	share    float64
}

const (
	hitCounter = "hit"
	// lossModulus is what shares are counted in.
	lossModulus = 1 << 31
	// setChunk bounds the elements in one message: its attributes have 16-bit lengths.
	setChunk = 500
	// Of the IPv4 header: source and destination stand side by side.
	addrsOffset, addrsLen = 12, 8
)

// newDrops makes the filter in a namespace, which must stay open as long as the filter is used.
func newDrops(space *os.File) (*drops, error) {
	// Each operation makes a connection of its own: one that failed leaves no late answers to the next.
	conn, err := nftables.New(nftables.WithNetNSFd(int(space.Fd())))
	if err != nil {
		return nil, fmt.Errorf("nftables: %w", err)
	}
	d := &drops{conn: conn, table: &nftables.Table{Family: nftables.TableFamilyBridge, Name: "zero"}}
	conn.AddTable(d.table)
	conn.AddObj(d.counter())
	addrs, err := nftables.ConcatSetType(nftables.TypeIPAddr, nftables.TypeIPAddr)
	if err != nil {
		return nil, fmt.Errorf("nftables: %w", err)
	}
	d.cut = &nftables.Set{Table: d.table, Name: "cut", KeyType: addrs, Concatenation: true}
	if err := conn.AddSet(d.cut, nil); err != nil {
		return nil, fmt.Errorf("nftables: add set: %w", err)
	}
	chain := func(name string, priority nftables.ChainPriority) *nftables.Chain {
		return conn.AddChain(&nftables.Chain{Table: d.table, Name: name, Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookForward, Priority: &priority})
	}
	conn.AddRule(&nftables.Rule{Table: d.table, Chain: chain("cut", 0), Exprs: slices.Concat(loadAddrs(),
		[]expr.Any{&expr.Lookup{SourceRegister: 1, SetName: d.cut.Name, SetID: d.cut.ID}}, countAndDrop())})
	d.loss = chain("loss", 1)
	if err := conn.Flush(); err != nil {
		return nil, fmt.Errorf("nftables: make the filter: %w", err)
	}
	return d, nil
}

func (d *drops) counter() *nftables.NamedObj {
	return &nftables.NamedObj{Table: d.table, Name: hitCounter, Type: nftables.ObjTypeCounter, Obj: &expr.Counter{}}
}

// loadAddrs puts source and destination of an IPv4 packet into register 1 and ends the rule for all others.
func loadAddrs() []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyPROTOCOL, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: binary.BigEndian.AppendUint16(nil, unix.ETH_P_IP)},
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: addrsOffset, Len: addrsLen},
	}
}

func countAndDrop() []expr.Any {
	return []expr.Any{
		&expr.Objref{Type: int(nftables.ObjTypeCounter), Name: hitCounter},
		&expr.Verdict{Kind: expr.VerdictDrop},
	}
}

func (p drop) key() []byte { return append(p.from.AsSlice(), p.to.AsSlice()...) }

// set replaces what is dropped, in one transaction.
func (d *drops) set(cut, loss []drop) error {
	d.conn.FlushSet(d.cut)
	for chunk := range slices.Chunk(cut, setChunk) {
		elements := make([]nftables.SetElement, 0, len(chunk))
		for _, c := range chunk {
			elements = append(elements, nftables.SetElement{Key: c.key()})
		}
		if err := d.conn.SetAddElements(d.cut, elements); err != nil {
			return fmt.Errorf("nftables: add elements: %w", err)
		}
	}
	d.conn.FlushChain(d.loss)
	for _, l := range loss {
		exprs := append(loadAddrs(), &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: l.key()})
		if l.share < 1 {
			exprs = append(exprs,
				&expr.Numgen{Register: 1, Modulus: lossModulus, Type: unix.NFT_NG_RANDOM},
				&expr.Byteorder{SourceRegister: 1, DestRegister: 1, Op: expr.ByteorderHton, Len: 4, Size: 4},
				&expr.Cmp{Op: expr.CmpOpLt, Register: 1, Data: binary.BigEndian.AppendUint32(nil, uint32(math.Ceil(l.share*lossModulus)))})
		}
		d.conn.AddRule(&nftables.Rule{Table: d.table, Chain: d.loss, Exprs: append(exprs, countAndDrop()...)})
	}
	if err := d.conn.Flush(); err != nil {
		return fmt.Errorf("nftables: replace what is dropped: %w", err)
	}
	return nil
}

// count reads how many packets were dropped.
func (d *drops) count() (uint64, error) {
	obj, err := d.conn.GetObject(d.counter())
	if err != nil {
		return 0, fmt.Errorf("nftables: read counter: %w", err)
	}
	if named, ok := obj.(*nftables.NamedObj); ok {
		if c, ok := named.Obj.(*expr.Counter); ok {
			return c.Packets, nil
		}
	}
	return 0, fmt.Errorf("nftables: read counter: the answer is a %T", obj)
}
