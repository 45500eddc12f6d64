// Package netns joins the nodes of a run by a network that it can break: each node lives in a network namespace of its own,
// and every packet between two places passes one point.
//
//	node 0        node 1        node 2        driver (the calling thread's namespace)
//	10.77.0.1     10.77.0.2     10.77.0.3     10.77.0.254
//	  eth0          eth0          eth0          zcPID.N
//	    └─────────────┴──────┬──────┴─────────────┘
//	        Bridge: veths and a kernel bridge, nftables drops
//	        Switch: TUN devices, a forwarder in this process does everything a Rule can say
//
// Both implement fault.Net. Bridge is fast and works for any user who may make namespaces; Switch needs /dev/net/tun.
// The functions of grudge.go say which directions a partition cuts.
//
// # Invariants
//
//   - Only IPv4 between two places is touched: loopback inside a node, and ARP, are not. IPv6 is off.
//   - When Set has returned, no packet passes by the rules before it, but what a delay held back.
//   - Namespaces are held by open files and have no names: they end with this process and with what was started in them,
//     also when it is killed.
//   - Switch draws from one generator for each direction, all from one seed: what one pair sends does not move another's
//     draws. All its queues have bounds, and what does not fit is dropped and counted.
package netns
