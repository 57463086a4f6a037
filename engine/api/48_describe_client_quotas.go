package api

import (
	"strconv"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/engine/cluster"
	"github.com/millrace/millrace/sdk"
)

// DescribeClientQuotas tells how fast clients may go (KIP-546).
//
//	v1 flexible
//
// Differs from Kafka: nobody can set a quota, so that there are none to tell of. Kafka's tools ask
// this before they show the credentials of users.
func describeClientQuotas(c *call, q *kmsg.DescribeClientQuotasRequest, a *kmsg.DescribeClientQuotasResponse) {
	if !c.onCluster(sdk.OperationDescribeConfigs) {
		a.ErrorCode = clusterDenied.Code.Code
		c.reply(a)
		return
	}
	if refused := checkQuotas(q); refused != nil {
		a.ErrorCode, a.ErrorMessage = refused.Wire()
		c.reply(a)
		return
	}
	a.ErrorMessage = kmsg.StringPtr("") // as Kafka has it
	a.Entries = []kmsg.DescribeClientQuotasResponseEntry{}
	c.reply(a)
}

// checkQuotas refuses a filter that could find nothing, whatever quotas there were.
func checkQuotas(q *kmsg.DescribeClientQuotasRequest) *cluster.Refusal {
	seen := map[string]bool{}
	for i := range q.Components {
		f := &q.Components[i]
		switch f.EntityType {
		case "":
			return &cluster.Refusal{Code: kerr.InvalidRequest, Message: "Invalid empty entity type."}
		case "user", "client-id", "ip":
		default:
			return &cluster.Refusal{Code: kerr.UnsupportedVersion, Message: "Unsupported entity type " + f.EntityType}
		}
		if seen[f.EntityType] {
			return &cluster.Refusal{Code: kerr.InvalidRequest, Message: "Entity type " + f.EntityType + " cannot appear more than once in the filter."}
		}
		seen[f.EntityType] = true
		if wrong := checkMatch(f); wrong != "" {
			return &cluster.Refusal{Code: kerr.InvalidRequest, Message: wrong}
		}
	}
	if seen["ip"] && len(seen) > 1 {
		return &cluster.Refusal{Code: kerr.InvalidRequest, Message: "Invalid entity filter component combination. IP filter component should not be used with user or clientId filter component."}
	}
	return nil
}

// checkMatch says what is wrong with how a part of a filter matches; empty: nothing.
func checkMatch(f *kmsg.DescribeClientQuotasRequestComponent) string {
	switch {
	case f.MatchType < kmsg.QuotasMatchTypeExact || f.MatchType > kmsg.QuotasMatchTypeAny:
		return "Unknown match type " + strconv.Itoa(int(f.MatchType))
	case f.MatchType == kmsg.QuotasMatchTypeExact && f.Match == nil:
		return "Request specified MATCH_TYPE_EXACT, but set match string to null."
	case f.MatchType == kmsg.QuotasMatchTypeDefault && f.Match != nil:
		return "Request specified MATCH_TYPE_DEFAULT, but also specified a match string."
	case f.MatchType == kmsg.QuotasMatchTypeAny && f.Match != nil:
		return "Request specified MATCH_TYPE_SPECIFIED, but also specified a match string."
	}
	return ""
}
