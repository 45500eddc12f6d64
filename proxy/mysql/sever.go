package mysql

import "time"

// Sever gives up what the host group has in flight through this proxy: the server connections of sessions with a
// ticket are closed, and their clients are told that the outcome is unknown. Sessions without a ticket stay. It
// does not wait: drain the gate afterwards. It returns the number of sessions severed.
func (srv *Server) Sever(group string) int {
	return srv.endWhere(func(s *session) bool { return s.user.HostGroup == group && s.ticket != nil })
}

// CloseGroup ends every session of a host group at once, as Sever does with those that it ends. It returns their
// number.
func (srv *Server) CloseGroup(group string) int {
	return srv.endWhere(func(s *session) bool { return s.user.Name != "" && s.user.HostGroup == group })
}

// CloseUser ends every session of a user at once, and returns their number.
func (srv *Server) CloseUser(name string) int {
	return srv.endWhere(func(s *session) bool { return s.user.Name == name })
}

// endWhere severs the sessions that match, and returns their number. match is called with the session's mu held.
func (srv *Server) endWhere(match func(*session) bool) int {
	n := 0
	for _, s := range srv.all() {
		s.mu.Lock()
		hit := (s.stop == stopNone || s.stop == stopDrain) && match(s)
		s.mu.Unlock()
		if hit {
			s.end(stopSevered)
			n++
		}
	}
	return n
}

// sweep looks, every SweepInterval, for open transactions that idle while their server has gone: nobody would
// notice before the client's next command, and their tickets would keep a switch from draining.
func (srv *Server) sweep() {
	tick := time.NewTicker(srv.cfg.SweepInterval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-srv.ctx.Done():
			return
		}
		srv.leaveSevered()
		for _, s := range srv.all() {
			s.mu.Lock()
			if s.idle && s.ticket != nil && s.lapsed == nil && s.backend != nil && !quiet(s.backend.nc) {
				s.giveUp(errServerGone)
			}
			s.mu.Unlock()
		}
	}
}
