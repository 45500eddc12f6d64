package fsm

// InitCluster names the cluster; the first leader proposes it once.
type InitCluster struct {
	ClusterID string
}

func (*InitCluster) commandType() Type { return typeInitCluster }

func (c *InitCluster) apply(t *txn) ([]byte, *Refusal) {
	m := t.meta()
	switch {
	case c.ClusterID == "":
		return nil, refuse(CodeBadRequest, "a cluster needs an id")
	case m.ClusterID == c.ClusterID:
		return nil, nil
	case m.ClusterID != "":
		return nil, refuse(CodeForeignCluster, "the cluster is %s already", m.ClusterID)
	}
	m.ClusterID = c.ClusterID
	t.put(tableMeta, &m)
	return nil, nil
}

// RaiseClusterEpoch raises the cluster epoch to Epoch, after a restore or a
// recovery, and freezes every host group (R25).
type RaiseClusterEpoch struct {
	Epoch uint64
}

func (*RaiseClusterEpoch) commandType() Type { return typeRaiseClusterEpoch }

func (c *RaiseClusterEpoch) apply(t *txn) ([]byte, *Refusal) {
	m := t.meta()
	if c.Epoch <= m.Epoch {
		return nil, refuse(CodeStaleGeneration, "the cluster epoch is %d, it only rises", m.Epoch)
	}
	m.Epoch = c.Epoch
	t.put(tableMeta, &m)
	t.freezeAll("the keepers were restored or recovered: who the primary is has to be asked")
	return nil, nil
}

// RegisterMember records a keeper, or what changed about it.
type RegisterMember struct {
	ID           string
	Name         string
	Address      string
	HTTP         string
	Version      string
	FeatureLevel uint32
	Incarnation  string
}

func (*RegisterMember) commandType() Type { return typeRegisterMember }

func (c *RegisterMember) apply(t *txn) ([]byte, *Refusal) {
	if c.ID == "" || c.Address == "" {
		return nil, refuse(CodeBadRequest, "a member needs an id and an address")
	}
	member := Member(*c)
	t.put(tableMembers, &member)
	return nil, nil
}

// RemoveMember forgets a keeper.
type RemoveMember struct {
	ID string
}

func (*RemoveMember) commandType() Type { return typeRemoveMember }

func (c *RemoveMember) apply(t *txn) ([]byte, *Refusal) {
	member := first[Member](t.Txn, tableMembers, key(c.ID))
	if member == nil {
		return nil, refuse(CodeKeyMissing, "no member %s", c.ID)
	}
	t.drop(tableMembers, member)
	return nil, nil
}
