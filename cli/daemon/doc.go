// Package daemon is the frame that zerokeeper, zeroproxy and zeroagent share:
// settings, log, HTTP port, signals, readiness, service manager and exit code.
// What a daemon does is an App; Main runs it.
//
// # Life
//
//	settings read and checked → log → HTTP port open → App.Run
//	Env.Ready(true)   /readyz 200, READY=1 to systemd
//	SIGTERM, SIGINT   /readyz 503, STOPPING=1, the context of App.Run ends
//	App.Run returns   HTTP port closed, exit
//
// A second SIGTERM or SIGINT exits at once; so does the end of
// --shutdown-timeout. SIGUSR1 makes the log one level more verbose and SIGUSR2
// one level less.
//
// # The HTTP port
//
//	/livez /readyz   named checks; ?verbose lists them, ?exclude=NAME leaves one out
//	/metrics         Prometheus
//	/version         JSON
//	/loglevel        GET; PUT ?level=debug, from this host only
//	/debug/pprof/    with --pprof
//
// A daemon adds handlers to Env.HTTP. Where a pattern of the daemon's and one of
// the frame's fit a request, the longer wins, and the daemon's between equals.
//
// # Exit codes
//
//	0      stopped as it was asked to
//	1      failed; a restart may help
//	64     flags, environment or settings file are wrong
//	74     zerokeeper only: its disk hung; restart it
//	78     failed in a way that a restart cannot mend (ErrNoRestart)
//	128+n  a second signal n ended it
//
// # Invariants
//
//   - Nothing is bound and nothing is written before the settings were checked.
//   - Every wait of the shutdown is bounded.
//   - The process answers /livez as long as it runs.
package daemon
