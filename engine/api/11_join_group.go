package api

import (
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/engine/group"
	"github.com/millrace/millrace/sdk"
)

// JoinGroup makes a client a member of a group and, once all have come, tells the leader
// who the members are.
//
//	v1 rebalance timeout · v4 member id required (KIP-394) · v5 static members (KIP-345)
//	v6 flexible · v7 protocol type · v8 reason · v9 skip assignment
//
// Differs from Kafka: a member that says more than 4 MiB of itself is refused with MESSAGE_TOO_LARGE, and one that comes
// to a group whose members say more than 256 MiB with GROUP_MAX_SIZE_REACHED; there such a group fails in SyncGroup.
func joinGroup(c *call, q *kmsg.JoinGroupRequest, a *kmsg.JoinGroupResponse) {
	client := group.Client{ID: c.session.clientID, Host: c.host()}
	c.onGroup(sdk.OperationRead, q.Group, func(err *kerr.Error) {
		a.ErrorCode, a.Generation = err.Code, -1
		if err != kerr.GroupAuthorizationFailed { //nolint:errorlint // bare, and from onGroup
			a.MemberID = q.MemberID // others are not told, as in Kafka
		}
		c.reply(a)
	}, func(g *group.Coordinator, now time.Time) {
		g.Join(now, client, c.version, q, c.server.uuid, func(r *kmsg.JoinGroupResponse) { c.reply(r) })
	})
}
