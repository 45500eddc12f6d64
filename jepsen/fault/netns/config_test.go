package netns

import "testing"

func TestConfigValidate(t *testing.T) {
	for _, tt := range []struct {
		name string
		cfg  Config
		ok   bool
	}{
		{"good", Config{Nodes: 5}, true},
		{"most", Config{Nodes: maxNodes, QueuePackets: maxQueuePackets}, true},
		{"zero", Config{}, false},
		{"too many", Config{Nodes: maxNodes + 1}, false},
		{"negative queue", Config{Nodes: 1, QueuePackets: -1}, false},
		{"endless queue", Config{Nodes: 1, QueuePackets: maxQueuePackets + 1}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := tt.cfg.Validate(); (err == nil) != tt.ok {
				t.Error(err)
			}
			if !tt.ok {
				if b, err := NewBridge(tt.cfg); err == nil {
					t.Errorf("made %v", b)
				}
				if s, err := NewSwitch(tt.cfg); err == nil {
					t.Errorf("made %v", s)
				}
			}
		})
	}
}
