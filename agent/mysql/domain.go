package mysql

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// domainFinding: a candidate that writes in a domain which it has not replicated
// from would begin a second stream beside the old primary's, and replicas of a
// third server could apply the two in any order.
func domainFinding(st State) Finding {
	pos, err := ParseGTIDPos(st.GTIDSlavePos)
	if err != nil {
		return Finding{Rule: RuleDomain, Input: clip(st.GTIDSlavePos), Detail: err.Error()}
	}
	_, same := pos[st.GTIDDomain]
	var domains []string
	for _, d := range slices.Sorted(maps.Keys(pos)) {
		domains = append(domains, strconv.FormatUint(uint64(d), 10))
	}
	input := fmt.Sprintf("writes in %d, has replicated %s", st.GTIDDomain, strings.Join(domains, ", "))
	if len(pos) == 0 {
		input = fmt.Sprintf("writes in %d, has replicated nothing yet", st.GTIDDomain)
	}
	return check(RuleDomain, same || len(pos) == 0, input, "set gtid_domain_id to that of the primary: the servers of a group write in one domain")
}
