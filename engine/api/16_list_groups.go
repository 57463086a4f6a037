package api

import (
	"cmp"
	"slices"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/engine/group"
)

// ListGroups lists groups.
//
//	v3 flexible · v4 states · v5 types
//
// Differs from Kafka: nothing.
func listGroups(c *call, q *kmsg.ListGroupsRequest, a *kmsg.ListGroupsResponse) {
	var failed atomic.Int32
	lists := make(chan []kmsg.ListGroupsResponseGroup, c.server.offsetsPartitions())
	refuse := func(err *kerr.Error) { failed.Store(int32(err.Code)) }
	c.server.onAllGroups(refuse, func(g *group.Coordinator, now time.Time, done func()) {
		g.List(now, q, func(some []kmsg.ListGroupsResponseGroup, err *kerr.Error) {
			if err != nil {
				refuse(err)
			}
			lists <- some
			done()
		})
	}, func() {
		close(lists)
		for some := range lists {
			a.Groups = append(a.Groups, some...)
		}
		slices.SortFunc(a.Groups, func(x, y kmsg.ListGroupsResponseGroup) int { return cmp.Compare(x.Group, y.Group) })
		a.ErrorCode = int16(failed.Load())
		c.reply(a)
	})
}

func (s *Server) offsetsPartitions() int {
	if t := s.Registry.Named(OffsetsTopic); t != nil {
		return t.Partitions()
	}
	return 0
}
