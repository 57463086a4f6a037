package api

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/sdk"
)

// DescribeClientQuotas tells how fast clients may go (KIP-546).
//
//	v1 flexible
//
// Differs from Kafka: nobody can set a quota, so that there are none to tell of. Kafka's tools ask
// this before they show the credentials of users.
func describeClientQuotas(c *call, _ *kmsg.DescribeClientQuotasRequest, a *kmsg.DescribeClientQuotasResponse) {
	if !c.onCluster(sdk.OperationDescribeConfigs) {
		a.ErrorCode = clusterDenied.Code.Code
		c.reply(a)
		return
	}
	a.Entries = []kmsg.DescribeClientQuotasResponseEntry{}
	c.reply(a)
}
