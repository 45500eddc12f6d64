package mysql

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"
)

// errUnsupported: a server or account that this version of the proxy cannot use.
var errUnsupported = errors.New("not supported")

// loginParams is how to log in to a server.
type loginParams struct {
	user, password string
	caps           uint32 // that the client agreed on: those that shape results are asked of the server
	maxPacket      uint32
	collation      byte
	database       string
	attrs          []byte
}

// loginResult is what the server said.
type loginResult struct {
	version  string
	threadID uint32
	caps     uint32 // agreed
	status   uint16
}

// tcpConfig makes a peer that vanished without a word be noticed within about 30 s.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 10 * time.Second, Interval: 5 * time.Second, Count: 4}

const unackedTimeout = 30 * time.Second

// dial connects and logs in. It fails with a *MySQLError when the server says no, else with an error of the
// network or errUnsupported. The deadline for both together is d.Timeout, or ctx's if that is sooner.
func (d Dialer) dial(ctx context.Context, address string, p loginParams) (net.Conn, loginResult, error) {
	d = d.withDefaults()
	ctx, cancel := context.WithTimeout(ctx, d.Timeout)
	defer cancel()
	connect := d.Dial
	if connect == nil {
		connect = (&net.Dialer{KeepAliveConfig: keepAlive, Control: limitUnacked}).DialContext
	}
	nc, err := connect(ctx, "tcp", address)
	if err != nil {
		return nil, loginResult{}, fmt.Errorf("connect: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = nc.SetDeadline(time.Unix(1, 0)) })
	res, err := login(nc, p)
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		_ = nc.Close() // given up
		return nil, res, fmt.Errorf("log in to %s: %w", address, err)
	}
	return nc, res, nil
}

// login speaks the client's part of the handshake.
func login(nc net.Conn, p loginParams) (loginResult, error) {
	l := link{nc: nc, writeTimeout: time.Minute}
	defer l.drop()
	payload, seq, err := l.readPayload(maxLoginPacket)
	if err != nil {
		return loginResult{}, fmt.Errorf("read greeting: %w", err)
	}
	g, err := parseGreeting(payload)
	if err != nil {
		return loginResult{}, err
	}
	want := p.caps &^ (capAuth | capConnectWithDB | capConnectAttrs)
	if missing := want & capFormat &^ g.caps; missing != 0 {
		return loginResult{}, fmt.Errorf("%w: server %s lacks capabilities %#x that the client was promised", errUnsupported, g.version, missing)
	}
	want |= capLongPassword | capProtocol41 | capSecureConn
	want |= (capPluginAuth | capAuthLenenc) & g.caps
	if p.attrs != nil {
		want |= capConnectAttrs
	}
	if p.database != "" {
		want |= capConnectWithDB
	}
	res := loginResult{version: g.version, threadID: g.connectionID, caps: want & (g.caps | capLongPassword)}
	r := handshakeResponse{caps: res.caps, maxPacket: p.maxPacket, collation: uint16(p.collation), user: p.user,
		auth: nativeResponse(g.salt, p.password), database: p.database, plugin: pluginNative, attrs: p.attrs}
	if err := l.write(appendPacket(nil, seq+1, appendHandshakeResponse(nil, r))); err != nil {
		return res, fmt.Errorf("send handshake response: %w", err)
	}
	res.status, err = authenticate(&l, p.password)
	return res, err
}

// authenticate follows the server through its authentication to its verdict.
func authenticate(l *link, password string) (status uint16, err error) {
	for range 3 { // the first answer, one switch of plugin, and one to spare
		payload, seq, err := l.readPayload(maxLoginPacket)
		if err != nil {
			return 0, fmt.Errorf("read answer to login: %w", err)
		}
		if len(payload) == 0 {
			return 0, fmt.Errorf("%w: empty answer to login", errMalformed)
		}
		switch payload[0] {
		case headOK:
			ok, err := parseOK(payload)
			return ok.status, err
		case headERR:
			e, err := parseERR(payload)
			if err != nil {
				return 0, err
			}
			return 0, e
		case headEOF:
			a, err := parseAuthSwitch(payload)
			if err != nil {
				return 0, err
			}
			if a.plugin != pluginNative {
				return 0, fmt.Errorf("%w: the account uses plugin %s; give it %s", errUnsupported, a.plugin, pluginNative)
			}
			if err := l.write(appendPacket(nil, seq+1, nativeResponse(a.salt, password))); err != nil {
				return 0, fmt.Errorf("send password: %w", err)
			}
		default:
			return 0, fmt.Errorf("%w: answer to login starts with %#x", errUnsupported, payload[0])
		}
	}
	return 0, fmt.Errorf("%w: the server switches plugins without end", errMalformed)
}

// Probe logs in to a server and pings it, within the Dialer's timeout. It returns nil, a *MySQLError if the server
// answered with an error, or an error of the network.
func (d Dialer) Probe(ctx context.Context, address, user, password string) error {
	d = d.withDefaults()
	ctx, cancel := context.WithTimeout(ctx, d.Timeout)
	defer cancel()
	nc, _, err := d.dial(ctx, address, loginParams{user: user, password: password, collation: 45, maxPacket: 1 << 24})
	if err != nil {
		return fmt.Errorf("probe %s: %w", address, err)
	}
	defer func() { _ = nc.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = nc.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	l := link{nc: nc, writeTimeout: time.Minute}
	defer l.drop()
	if err := l.write([]byte{1, 0, 0, 0, comPing}); err != nil {
		return fmt.Errorf("probe %s: send ping: %w", address, err)
	}
	payload, _, err := l.readPayload(maxLoginPacket)
	if err != nil {
		return fmt.Errorf("probe %s: read answer to ping: %w", address, err)
	}
	if len(payload) > 0 && payload[0] == headERR {
		e, err := parseERR(payload)
		if err != nil {
			return fmt.Errorf("probe %s: %w", address, err)
		}
		return fmt.Errorf("probe %s: %w", address, e)
	}
	if _, err := parseOK(payload); err != nil {
		return fmt.Errorf("probe %s: %w", address, err)
	}
	_ = l.write([]byte{1, 0, 0, 0, comQuit}) // a courtesy: the server logs no aborted connection
	return nil
}

// Probe is Dialer.Probe with the defaults.
func Probe(ctx context.Context, address, user, password string) error {
	return Dialer{}.Probe(ctx, address, user, password)
}
