package conf

import (
	"errors"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// Datasource is one MySQL server.
type Datasource struct {
	// Address is the canonical host:port; equal addresses are the same server.
	Address string
	// Host is an IP address or a lower-case host name, without brackets.
	Host string
	Port uint16
}

// ReadSource is a server that serves reads.
type ReadSource struct {
	Datasource
	// Weight is its share of the reads, 1 to 1000.
	Weight int
}

const maxWeight = 1000

// ParseDatasource reads ip:port, name:port or [ipv6]:port. Its errors do not
// repeat s.
func ParseDatasource(s string) (Datasource, error) {
	i := strings.LastIndexByte(s, ':')
	if i < 0 {
		return Datasource{}, errors.New("must be host:port; the port is missing")
	}
	host, err := parseHost(s[:i])
	if err != nil {
		return Datasource{}, err
	}
	port, err := parsePort(s[i+1:])
	if err != nil {
		return Datasource{}, err
	}
	return Datasource{Address: net.JoinHostPort(host, strconv.Itoa(int(port))), Host: host, Port: port}, nil
}

func parsePort(s string) (uint16, error) {
	port, err := strconv.ParseUint(s, 10, 16)
	if err != nil || port == 0 || s[0] == '0' || s[0] == '+' {
		return 0, errors.New("the port must be 1 to 65535")
	}
	return uint16(port), nil
}

func parseHost(s string) (string, error) {
	inner, open := strings.CutPrefix(s, "[")
	if open {
		inner, closed := strings.CutSuffix(inner, "]")
		ip, err := netip.ParseAddr(inner)
		if !closed || err != nil || !ip.Is6() || ip.Zone() != "" {
			return "", errors.New("must be [ipv6]:port, with an IPv6 address without a zone in the brackets")
		}
		return checkIP(ip)
	}
	if strings.ContainsRune(s, ':') {
		return "", errors.New("must be host:port; an IPv6 address needs brackets, as in [::1]:3306")
	}
	if ip, err := netip.ParseAddr(s); err == nil {
		return checkIP(ip)
	}
	if !validHostName(s) {
		return "", errors.New("the host must be an IP address or a host name")
	}
	return strings.ToLower(s), nil
}

func checkIP(ip netip.Addr) (string, error) {
	ip = ip.Unmap()
	if ip.IsUnspecified() || ip.IsMulticast() {
		return "", errors.New("the host must be the address of one server")
	}
	return ip.String(), nil
}

// validHostName takes what DNS takes, and _. A name whose last label is a
// number would be a mistyped IPv4 address.
func validHostName(s string) bool {
	if len(s) > 253 {
		return false
	}
	labels := strings.Split(s, ".")
	for _, label := range labels {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for i := range len(label) {
			if !isAlphanumeric(label[i]) && label[i] != '-' && label[i] != '_' {
				return false
			}
		}
	}
	return strings.Trim(labels[len(labels)-1], "0123456789") != ""
}

// parseReadSource reads host:port or host:port@weight.
func parseReadSource(s string) (ReadSource, error) {
	address, weight, weighted := strings.Cut(s, "@")
	ds, err := ParseDatasource(address)
	if err != nil {
		return ReadSource{}, err
	}
	source := ReadSource{Datasource: ds, Weight: 1}
	if weighted {
		w, err := strconv.ParseUint(weight, 10, 16)
		if err != nil || w < 1 || w > maxWeight || weight[0] == '0' {
			return ReadSource{}, errors.New("the weight after @ must be 1 to 1000")
		}
		source.Weight = int(w)
	}
	return source, nil
}
