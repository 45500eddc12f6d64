package mysql

import "github.com/zerokeeper/zero/proxy/gate"

// leaveSevered closes the server connection under sessions that wait, without a ticket, for the answer of a primary
// that was severed: reads. A server whose host is gone says nothing, and TCP finds out only after unackedTimeout, when
// another has long taken its place. The session's goroutine repeats the read there if nothing of an answer was passed
// on. A connection that was opened since is left alone, and so is one whose session is held.
func (srv *Server) leaveSevered() {
	for _, s := range srv.all() {
		s.mu.Lock()
		if b := s.backend; b != nil && s.ticket == nil && !s.idle && s.wait == nil {
			if group, ok := srv.cfg.Directory.LookupGroup(s.user.HostGroup); ok && b.severed(group.Gate) {
				_ = b.nc.Close() // it is given up
			}
		}
		s.mu.Unlock()
	}
}

// severed reports whether the connection was open when its primary was severed.
func (b *backend) severed(g *gate.Gate) bool {
	given, at := g.Severed()
	return at != 0 && b.opened < at && b.primary.Same(given)
}
