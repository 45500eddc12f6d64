package mysql

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Bits of "access" in mysql.global_priv.
const (
	accessSuper         = 1 << 15
	accessReadOnlyAdmin = 1 << 33
)

// splitVersion is the first server version, as global_priv records it with each
// account, whose SUPER no longer implies READ_ONLY ADMIN. Grants of older
// accounts are read with the old meaning.
const splitVersion = 101100

// publicRole is the role that everybody has.
const publicRole = "PUBLIC"

// account is an account or, without a host, a role.
type account struct{ user, host string }

func (a account) String() string { return "'" + a.user + "'@'" + a.host + "'" }

// writers are the accounts that can write on a read-only server.
type writers struct {
	accounts []account       // sorted
	names    map[string]bool // user names with at least one such account
	known    map[string]bool // all user names
	everyone bool            // PUBLIC holds the privilege
}

// canWrite reports whether a session of user may write on a read-only server.
// It goes by the name alone: which of a name's accounts a session logged in
// with is not shown, and a reader killed is better than a writer spared.
func (w *writers) canWrite(user string) bool {
	if w.everyone || w.names[user] {
		return true
	}
	return w.names[""] && !w.known[user] // the anonymous account
}

// writers reads the accounts that hold READ_ONLY ADMIN, by themselves or
// through a role, active or not.
func (c *session) writers(ctx context.Context, v Version) (*writers, error) {
	accounts, err := c.query(ctx, "read accounts", "SELECT User, Host, Priv FROM mysql.global_priv")
	if err != nil {
		return nil, err
	}
	roles, err := c.query(ctx, "read roles", "SELECT User, Host, Role FROM mysql.roles_mapping")
	if err != nil {
		return nil, err
	}
	return findWriters(accounts, roles, v)
}

type globalPriv struct {
	Access  uint64 `json:"access"`
	Version int    `json:"version_id"`
	IsRole  bool   `json:"is_role"`
	Locked  bool   `json:"account_locked"`
}

func (p globalPriv) writes(v Version) bool {
	if p.Access&accessReadOnlyAdmin != 0 {
		return true
	}
	return p.Access&accessSuper != 0 && (v.superWrites() || p.Version < splitVersion)
}

func findWriters(accounts, roles []record, v Version) (*writers, error) {
	w := &writers{names: map[string]bool{}, known: map[string]bool{}}
	privs := make(map[account]globalPriv, len(accounts))
	holders := map[string]bool{} // roles that carry the privilege
	for _, r := range accounts {
		var p globalPriv
		if err := json.Unmarshal([]byte(r["Priv"]), &p); err != nil {
			return nil, fmt.Errorf("mysql.global_priv of %s: %w", account{r["User"], r["Host"]}, err)
		}
		privs[account{r["User"], r["Host"]}] = p
		if p.IsRole && p.writes(v) {
			holders[r["User"]] = true
		}
	}
	// A role that was granted a holder is one; the graph has no cycles and at
	// most as many levels as edges.
	for range roles {
		grew := false
		for _, r := range roles {
			if holders[r["Role"]] && !holders[r["User"]] && privs[account{r["User"], r["Host"]}].IsRole {
				holders[r["User"]], grew = true, true
			}
		}
		if !grew {
			break
		}
	}
	granted := map[account]bool{}
	for _, r := range roles {
		if holders[r["Role"]] {
			granted[account{r["User"], r["Host"]}] = true
		}
	}
	w.everyone = holders[publicRole]
	for a, p := range privs {
		if p.IsRole {
			continue
		}
		w.known[a.user] = true
		if !p.Locked && (p.writes(v) || granted[a]) {
			w.names[a.user] = true
			w.accounts = append(w.accounts, a)
		}
	}
	if w.everyone {
		w.accounts = append(w.accounts, account{user: publicRole})
	}
	slices.SortFunc(w.accounts, func(a, b account) int {
		return cmp.Or(strings.Compare(a.user, b.user), strings.Compare(a.host, b.host))
	})
	return w, nil
}

// except names the accounts whose user is not in allowed.
func (w *writers) except(allowed []string) (names []string) {
	for _, a := range w.accounts {
		if !slices.Contains(allowed, a.user) {
			names = append(names, a.String())
		}
	}
	return names
}
