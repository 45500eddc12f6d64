package mysql

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"
)

// handshake greets the client and logs it in.
func (s *session) handshake(ctx context.Context) error {
	cfg := &s.srv.cfg
	if err := s.client.nc.SetDeadline(time.Now().Add(cfg.Handshake)); err != nil {
		return fmt.Errorf("set deadline: %w", err)
	}
	if s.stopped() != stopNone {
		return errStopped
	}
	// An absolute deadline: as long as it stands, link must not set others.
	s.client.writeTimeout = 0
	g := greeting{version: cfg.ServerVersion, connectionID: s.id, salt: s.salt, caps: capAdvertised,
		collation: cfg.Collation, status: statusAutocommit, plugin: pluginNative}
	if err := s.client.write(appendPacket(nil, 0, appendGreeting(nil, g))); err != nil {
		return fmt.Errorf("send greeting: %w", err)
	}
	payload, seq, err := s.client.readPayload(maxLoginPacket)
	if err != nil {
		return fmt.Errorf("read handshake response: %w", err)
	}
	r, err := parseHandshakeResponse(payload)
	if err != nil {
		return errors.Join(err, s.sendError(seq, errBadHandshake))
	}
	s.caps = r.caps & capAdvertised
	s.maxPacket = r.maxPacket
	seq, err = s.authenticate(r, seq)
	if err != nil {
		return err
	}
	s.status = statusAutocommit
	s.state = sessionState{db: r.database, limit: cfg.MaxStateBytes}
	if r.database != "" {
		if err := s.connectEarly(ctx); err != nil {
			return errors.Join(err, s.sendError(seq, err))
		}
	}
	if err := s.sendOK(seq); err != nil {
		return fmt.Errorf("send OK: %w", err)
	}
	if err := s.client.nc.SetDeadline(time.Time{}); err != nil {
		return fmt.Errorf("clear deadline: %w", err)
	}
	s.client.writeTimeout = cfg.WriteTimeout
	return nil
}

var errBadHandshake = mysqlErrorf(codeHandshake, stateConnectionFailure, "Bad handshake")

// authenticate checks the user's password, and enters the user in the session. It returns the sequence id of the
// client's last packet. When it fails the client has been told.
func (s *session) authenticate(r handshakeResponse, seq byte) (byte, error) {
	response, salt := r.auth, s.salt
	if r.caps&capPluginAuth != 0 && r.plugin != "" && r.plugin != pluginNative {
		// The client has begun with the plugin that it likes best.
		var err error
		salt = newSalt()
		if response, seq, err = s.switchPlugin(salt, seq); err != nil {
			return seq, err
		}
	}
	user, known := s.srv.cfg.Directory.LookupUser(r.user)
	password := user.Password
	if !known {
		password = "no such user" // so that the answer takes as long
	}
	if right := verifyNative(salt, response, password); !right || !known {
		with := "YES"
		if len(response) == 0 {
			with = "NO"
		}
		e := mysqlErrorf(codeAccessDenied, "28000", "Access denied for user '%s'@'%s' (using password: %s)",
			r.user, host(s.remote), with)
		s.srv.stats.denied.Add(1)
		return seq, errors.Join(e, s.sendError(seq, e))
	}
	if !s.srv.countUser(s, user) {
		e := mysqlErrorf(codeTooManyUserConns, "42000",
			"User %s already has more than 'max_user_connections' active connections", user.Name)
		return seq, errors.Join(e, s.sendError(seq, e))
	}
	s.mu.Lock()
	s.user = user
	s.mu.Unlock()
	s.group = Group{Name: user.HostGroup}
	s.collation = byte(r.collation)
	s.attrs = r.attrs
	return seq, nil
}

// switchPlugin makes the client answer a challenge of mysql_native_password.
func (s *session) switchPlugin(salt []byte, seq byte) (response []byte, _ byte, err error) {
	request := appendAuthSwitch(nil, authSwitch{plugin: pluginNative, salt: salt})
	if err := s.client.write(appendPacket(nil, seq+1, request)); err != nil {
		return nil, seq, fmt.Errorf("send AuthSwitchRequest: %w", err)
	}
	response, seq, err = s.client.readPayload(maxLoginPacket)
	if err != nil {
		return nil, seq, fmt.Errorf("read answer to AuthSwitchRequest: %w", err)
	}
	return response, seq, nil
}

// connectEarly opens the server connection during login, so that a database that does not exist, or that the user
// may not use, is an error of the login. Without a server to ask, the login goes on.
func (s *session) connectEarly(ctx context.Context) *MySQLError {
	group, ok := s.srv.cfg.Directory.LookupGroup(s.user.HostGroup)
	if !ok {
		return nil
	}
	s.group = group
	primary, open, known := group.Gate.Current()
	if !open || !known {
		return nil
	}
	ctx, stop := s.whileNamed(ctx, primary, true)
	defer stop()
	_, err := s.connection(ctx, primary)
	var e *MySQLError
	if errors.As(err, &e) && !worthWaiting(e) {
		return e
	}
	if err != nil {
		s.log.Debug("cannot connect at login", "host_group", group.Name, "error", err)
	}
	return nil
}

// changeUser serves COM_CHANGE_USER: a login on the connection that is there, to a new session.
func (s *session) changeUser(ctx context.Context, cmd *command) error {
	if !cmd.complete || cmd.size > maxLoginPacket {
		return s.fatal(cmd, errBadHandshake)
	}
	r, err := parseChangeUser(cmd.data, s.caps)
	seq := cmd.seq
	if err != nil {
		return errors.Join(s.fatal(cmd, errBadHandshake), err)
	}
	if err := s.skipCommand(cmd); err != nil {
		return err
	}
	s.forget()
	s.srv.uncountUser(s)
	if err := s.client.readWithin(s.srv.cfg.Handshake); err != nil {
		return err
	}
	collation := s.collation
	if seq, err = s.authenticate(r, seq); err != nil {
		return fmt.Errorf("%w: %w", errSessionOver, err)
	}
	if s.collation == 0 { // older clients send none
		s.collation = collation
	}
	s.state.db = r.database
	if r.database != "" {
		if err := s.connectEarly(ctx); err != nil {
			return errors.Join(err, s.sendError(seq, err))
		}
	}
	return s.sendOK(seq)
}

// host is the part of an address that MySQL calls the host.
func host(address string) string {
	h, _, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	return h
}
