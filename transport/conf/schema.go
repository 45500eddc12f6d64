package conf

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Kind is how a key's value is written.
type Kind string

// The kinds of values.
const (
	KindText      Kind = "text"
	KindReference Kind = "reference" // ${file:/path} or ${env:NAME}
	KindBoolean   Kind = "boolean"   // true or false
	KindInteger   Kind = "integer"   // decimal
	KindNumber    Kind = "number"    // decimal, with or without a fraction
	KindDuration  Kind = "duration"  // integer seconds, or text such as 250ms
	KindAddresses Kind = "addresses" // comma list in text, or list of text
	KindSection   Kind = "section"   // mapping
	KindList      Kind = "list"      // list of mappings
)

// Key documents one key of the configuration.
type Key struct {
	// Path is where the key stands, such as host_groups[].max_conn.
	Path string
	Kind Kind
	// Default is what an absent key means, Range what is allowed; both in
	// words for people.
	Default, Range string
	// Doc says what the key does.
	Doc string

	// lowest and highest are the range, preset the default, of integers
	// (in their unit) and durations (in nanoseconds).
	lowest, highest, preset int64
}

// Schema is every key of the configuration, sections before what is in them.
// host_groups[].switch takes the keys of switch.
func Schema() []Key { return slices.Clone(schema) }

var schema = []Key{
	section("basic", "required", "The cluster and its defaults."),
	text("basic.config_name", "required", nameRange, "Name of the cluster. A push under another name is another cluster's."),
	text("basic.user", "none", userRange, "Backend account for host groups that name none: the proxies probe and warm up with it. Needs basic.password."),
	reference("basic.password", "none", "Password of basic.user."),
	duration("basic.slow_log_time", time.Second, time.Millisecond, time.Hour, "A proxy logs statements that take longer."),
	boolean("basic.push_when_fail", "false", "Go on with a push to the other proxies after one refused it."),

	section("stop_service", "a proxy never takes itself out of service", "When a proxy takes itself out of service: it unregisters after its requests for a switch were refused too often."),
	boolean("stop_service.offline_on_lost_keeper", "false", "Also close the MySQL port then."),
	integer("stop_service.offline_swh_rejected_num", 3, 1, 1000, "refusals", "Refusals in a row after which a host group counts as down."),
	integer("stop_service.offline_down_host_num", 1, 0, MaxHostGroups, "host groups", "Host groups that must be down. 0 is taken as 1: at least one must be down in any case."),
	boolean("stop_service.offline_recover", "true", "Return to service once all host groups answer again."),

	section("switch", "the defaults of its keys", "Rules and times of the datasource switch, for all host groups."),
	boolean("switch.need_vote", "true", "Ask the proxies before a switch that a proxy or the keeper's detector requested."),
	integer("switch.vote_approve_ratio", 50, 1, 100, "percent", "More than this share of the proxies (or all of them) must approve."),
	boolean("switch.need_load_check", "false", "Refuse a switch to a host whose load is above safe_load."),
	number("switch.safe_load", "none; required by need_load_check", "above 0, at most 10000", "Highest 1-minute load average of the new primary's host."),
	boolean("switch.need_binlog_check", "true", "Refuse a switch to a datasource that is too far behind, at preflight."),
	integer("switch.safe_binlog_delay", 16<<20, 1, 1<<40, "bytes", "Furthest that the new primary may be behind in the old one's binlog when the switch starts."),
	duration("switch.binlog_wait_time", 5*time.Second, 10*time.Millisecond, 2*time.Minute, "How long a switch waits for the new primary to catch up once writing has stopped, before it is rolled back."),
	duration("switch.frequency", 10*time.Second, time.Second, 24*time.Hour, "Cooldown of a host group after a switch ended."),
	duration("switch.backend_ping_interval", 250*time.Millisecond, 50*time.Millisecond, time.Minute, "Time between a proxy's probes of a datasource. 0 means the default."),
	integer("switch.backend_ping_count", 3, 1, 100, "probes", "Failed probes in a row after which a proxy requests a switch."),
	duration("switch.drain_timeout", 5*time.Second, 10*time.Millisecond, 2*time.Minute, "How long running transactions may take to end before a planned switch is rolled back."),
	duration("switch.fence_timeout", 2*time.Second, 100*time.Millisecond, 30*time.Second, "How long making the old primary read-only may take before a planned switch is rolled back."),
	{
		Path: "switch.hold_timeout", Kind: KindDuration,
		Default: "drain_timeout + fence_timeout + binlog_wait_time + " + formatDuration(holdMargin),
		Range:   durationRange(minHold, maxHold) + ", and above drain_timeout + fence_timeout + binlog_wait_time",
		Doc:     "How long a proxy holds a write during a switch before it fails it.",
		lowest:  int64(minHold), highest: int64(maxHold),
	},
	integer("switch.max_held", 10000, 1, 1000000, "requests", "Requests that one proxy holds for one host group; more fail at once."),
	integer("switch.max_held_bytes", 64<<20, 1<<20, 4<<30, "bytes", "Size of the requests that one proxy holds for one host group; more fail at once."),

	boolean("switch.auto_failover", "false", "Let proxies and the keepers' detector replace a primary that is gone. Without it an operator does."),
	text("switch.policy", PolicyLossless, PolicyLossless+" or "+PolicyAvailable, "What a failover may lose: nothing (it is refused when an acknowledged write might be missing), or what the best replica that is left does not have (recorded)."),
	text("switch.prefer", "none", fmt.Sprintf("at most %d addresses of datasources, with commas between", MaxDatasources), "Datasources that become the primary in a failover rather than others that are as far, the best first."),
	{
		Path: "switch.hung_after", Kind: KindDuration, Default: "10s", Range: "0 (never), or " + durationRange(minHung, maxHung),
		Doc:    "How long a primary may hang (it runs, but answers neither its agent nor any proxy, and no replica hears it) before it is killed and replaced. For auto_failover.",
		preset: int64(10 * time.Second), lowest: 0, highest: int64(maxHung),
	},
	text("switch.never", "none", fmt.Sprintf("at most %d addresses of datasources, with commas between", MaxDatasources), "Datasources that become the primary only when an operator names them."),
	duration("switch.safe_lag", 10*time.Second, 0, 24*time.Hour, "In a failover a replica that was further behind, and has not caught up, is passed over when another qualifies that has received as much. 0: not looked at."),
	duration("switch.auto_ack_after", time.Hour, 0, 30*24*time.Hour, "After a failover that no operator asked for, the next one of the host group by itself is refused until an operator acknowledged it (zeroctl switch ack), or for this long. 0: it need not be acknowledged."),
	boolean("switch.failsafe", "false", "With no keeper in reach, let the primary stay writable while the agents of all replicas promise to accept no promotion. Every agent of the group then needs --listen, and every proxy --lend-token-ref."),

	{Path: "host_groups", Kind: KindList, Default: "required", Range: fmt.Sprintf("1 to %d host groups", MaxHostGroups), Doc: "The host groups."},
	text("host_groups[].name", "required", nameRange+", unique", "Name of the host group."),
	addresses("host_groups[].write", "required", fmt.Sprintf("1 to %d datasources, each in one host group only", MaxDatasources), "The datasources that can be the primary, as ip:port, name:port or [ipv6]:port. The index of a datasource is its place here."),
	addresses("host_groups[].read", "none", fmt.Sprintf("at most %d datasources", MaxDatasources), "The datasources that serve reads, each with @weight (1 to 1000, default 1). They may stand in write too."),
	integer("host_groups[].active_write", 0, 0, MaxDatasources-1, "", "Index into write: the primary of a new host group. Of an existing one the primary is what the last switch said, and this is ignored with a warning."),
	boolean("host_groups[].enable_switch", "true", "Let proxies and the detector switch the host group. An operator can in any case."),
	integer("host_groups[].max_conn", 1024, 1024, 1000000, "connections", "Backend connections of one proxy to one datasource."),
	integer("host_groups[].init_conn", 0, 0, 1000000, "connections", "Backend connections that a proxy opens beforehand; at most max_conn."),
	text("host_groups[].user", "basic.user", userRange, "Backend account of the host group. Needs a password of its own."),
	reference("host_groups[].password", "basic.password", "Password of the host group's user."),
	section("host_groups[].switch", "the switch section", "Overrides of single keys of the switch section for this host group."),

	{Path: "users", Kind: KindList, Default: "none", Range: fmt.Sprintf("at most %d users", MaxUsers), Doc: "The users that clients log in with."},
	text("users[].name", "required", userRange+", unique", "User name."),
	reference("users[].password", "required", "Password of the user."),
	text("users[].host_group", "required", "the name of a host group", "Host group of the user's sessions."),
	integer("users[].max_connections", 1000, 1, 1000000, "connections", "Client connections of the user to one proxy."),
	text("users[].backend_user", "name", userRange, "Account that the user is mapped to on the backend. Needs backend_password."),
	reference("users[].backend_password", "password", "Password of backend_user."),
}

const (
	nameRange = "1 to 64 of A-Z a-z 0-9 . _ -, a letter or digit first"
	userRange = "1 to 128 bytes without spaces"

	minHold    = 100 * time.Millisecond
	maxHold    = 10 * time.Minute
	holdMargin = 3 * time.Second
)

// refusedSections are sections of the original that zero has no part in.
var refusedSections = []string{"host_group_clusters", "schema_configs"}

// Built once from schema: keys by path, and the keys of each section in order.
var (
	keyByPath    = indexSchema()
	keysOf       = groupSchema()
	sectionOfKey = placesSchema()
)

func indexSchema() map[string]Key {
	index := make(map[string]Key, len(schema))
	for _, key := range schema {
		index[key.Path] = key
	}
	return index
}

func groupSchema() map[string][]string {
	groups := map[string][]string{}
	for _, key := range schema {
		parent, name := splitPath(key.Path)
		groups[parent] = append(groups[parent], name)
	}
	return groups
}

// placesSchema maps a key's name to the sections that know it.
func placesSchema() map[string][]string {
	places := map[string][]string{}
	for _, key := range schema {
		parent, name := splitPath(key.Path)
		if parent != "" {
			places[name] = append(places[name], parent)
		}
	}
	return places
}

func splitPath(path string) (parent, name string) {
	if i := strings.LastIndexByte(path, '.'); i >= 0 {
		return path[:i], path[i+1:]
	}
	return "", path
}

func section(path, preset, doc string) Key {
	return Key{Path: path, Kind: KindSection, Default: preset, Doc: doc}
}

func text(path, preset, allowed, doc string) Key {
	return Key{Path: path, Kind: KindText, Default: preset, Range: allowed, Doc: doc}
}

func reference(path, preset, doc string) Key {
	return Key{Path: path, Kind: KindReference, Default: preset, Range: "${file:/path} or ${env:NAME}", Doc: doc}
}

func boolean(path, preset, doc string) Key {
	return Key{Path: path, Kind: KindBoolean, Default: preset, Range: "true or false", Doc: doc}
}

func addresses(path, preset, allowed, doc string) Key {
	return Key{Path: path, Kind: KindAddresses, Default: preset, Range: allowed, Doc: doc}
}

func number(path, preset, allowed, doc string) Key {
	return Key{Path: path, Kind: KindNumber, Default: preset, Range: allowed, Doc: doc}
}

func integer(path string, preset, lowest, highest int64, unit, doc string) Key {
	return Key{
		Path: path, Kind: KindInteger, Doc: doc,
		Default: fmt.Sprint(preset), Range: strings.TrimSpace(fmt.Sprintf("%d to %d %s", lowest, highest, unit)),
		preset: preset, lowest: lowest, highest: highest,
	}
}

func duration(path string, preset, lowest, highest time.Duration, doc string) Key {
	return Key{
		Path: path, Kind: KindDuration, Doc: doc,
		Default: formatDuration(preset), Range: durationRange(lowest, highest),
		preset: int64(preset), lowest: int64(lowest), highest: int64(highest),
	}
}

func durationRange(lowest, highest time.Duration) string {
	return formatDuration(lowest) + " to " + formatDuration(highest)
}

// formatDuration is d without the zeros that time.Duration writes: 24h, 1m30s.
func formatDuration(d time.Duration) string {
	s := d.String()
	if rest, ok := strings.CutSuffix(s, "m0s"); ok {
		s = rest + "m"
	}
	if rest, ok := strings.CutSuffix(s, "h0m"); ok {
		s = rest + "h"
	}
	return s
}
