package stage

import "fmt"

// failsafe is what agents and proxies need for it: the arguments of each agent, and
// those of every proxy. Without it there are none.
func (s *Stage) failsafe(cfg Config) (agents [][]string, proxies []string, err error) {
	agents = make([][]string, cfg.Servers)
	if !cfg.Failsafe {
		return agents, nil, nil
	}
	peer, err := s.Fleet.Secret("peer-token", "among agents")
	if err != nil {
		return nil, nil, err
	}
	lend, err := s.Fleet.Secret("lend-token", "of proxies")
	if err != nil {
		return nil, nil, err
	}
	ports, err := s.Fleet.FreePorts(cfg.Servers)
	if err != nil {
		return nil, nil, err
	}
	for i, port := range ports {
		agents[i] = []string{"--listen", fmt.Sprintf("127.0.0.1:%d", port), "--peer-token-ref", peer, "--lend-token-ref", lend}
	}
	return agents, []string{"--lend-token-ref", lend}, nil
}
