package agent

import (
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/zerokeeper/zero/agent/mysql"
	"github.com/zerokeeper/zero/transport/api"
)

// sourceOf is a datasource as a replica's source.
func sourceOf(d api.Datasource) (mysql.Source, error) {
	host, text, err := net.SplitHostPort(d.Address)
	if err != nil {
		return mysql.Source{}, api.Errorf(api.BadRequest, "the primary's address %q: %v", d.Address, err)
	}
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil || port == 0 {
		return mysql.Source{}, api.Errorf(api.BadRequest, "the primary's address %q has no port", d.Address)
	}
	return mysql.Source{Host: host, Port: uint16(port)}, nil
}

// maxBound bounds what a request may ask to wait for.
const maxBound = 10 * time.Minute

// milliseconds is a bound that a request names, within 1 ms and maxBound.
func milliseconds(ms int64) time.Duration {
	return time.Duration(min(max(ms, 1), maxBound.Milliseconds())) * time.Millisecond
}

// preflightOptions is a preflight request for the database.
func preflightOptions(body api.PreflightDatasourceRequest, own string) (mysql.PreflightOptions, error) {
	o := mysql.PreflightOptions{Role: mysql.Role(body.Role), Peers: map[string]uint32{}}
	if body.MaxLagMS > 0 {
		o.MaxLag = milliseconds(body.MaxLagMS)
	}
	switch body.Role {
	case api.BinlogMaster:
	case api.BinlogSlave:
		o.Source, o.SourceVersion = body.Primary.Address, body.PrimaryVersion
	default:
		return o, api.Errorf(api.BadRequest, "role %q: want %s or %s", body.Role, api.BinlogMaster, api.BinlogSlave)
	}
	for address, identity := range body.Peers {
		id, err := strconv.ParseUint(identity, 10, 32)
		if err != nil {
			return o, api.Errorf(api.BadRequest, "the identity %q of %s is no server_id", identity, address)
		}
		if address != own {
			o.Peers[address] = uint32(id)
		}
	}
	return o, nil
}

// errantCheck compares what the candidate has with what the primary has now.
func errantCheck(candidate string, primary mysql.State) mysql.Finding {
	f := mysql.Finding{Rule: "has all that the candidate has", Input: "candidate " + candidate}
	theirs, err := mysql.ParseGTIDState(candidate)
	if err != nil {
		f.Detail = err.Error()
		return f
	}
	mine, err := primary.Executed()
	if err != nil {
		f.Detail = err.Error()
		return f
	}
	if errant := mysql.Errant(theirs, mine); len(errant) > 0 {
		f.Detail = fmt.Sprintf("the candidate has %v that the primary lacks: save them and clone it", errant)
		return f
	}
	if forgotten := mysql.Forgotten(theirs, mine); len(forgotten) > 0 {
		f.Detail = fmt.Sprintf("the candidate is a clone that does not know %v of the primary: the others would look errant to it; stop its agent, RESET SLAVE ALL, RESET MASTER there, start the agent", forgotten)
		return f
	}
	f.OK = true
	return f
}
