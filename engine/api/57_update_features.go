package api

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/engine/cluster"
	"github.com/millrace/millrace/sdk"
)

// UpdateFeatures finalizes features at another level (KIP-584): the door by which a cluster
// that was founded before comes to consumer groups and to transactions of version 2, and goes
// back. All of a request is done or nothing, and one error tells why.
//
//	v1 upgrade type, validate only · v2 no results of single features
//
// Differs from Kafka: nothing.
func updateFeatures(c *call, q *kmsg.UpdateFeaturesRequest, a *kmsg.UpdateFeaturesResponse) {
	if !c.onCluster(sdk.OperationAlter) {
		a.ErrorCode, a.ErrorMessage = clusterDenied.Wire()
		c.reply(a)
		return
	}
	for i := range q.FeatureUpdates {
		if u := &q.FeatureUpdates[i]; c.version < 1 {
			if u.UpgradeType = 1; u.AllowDowngrade {
				u.UpgradeType = 2
			}
		}
	}
	var refused *cluster.Refusal
	c.server.Controller.Change(func(image *cluster.Image) (records []cluster.Record, _ error) {
		if records, refused = cluster.UpdateFeatures(image, c.server.NodeID, q.FeatureUpdates); q.ValidateOnly {
			records = nil
		}
		return records, nil
	}, func(_ *cluster.Image, err error) {
		switch {
		case err != nil:
			a.ErrorCode, a.ErrorMessage = code(err), told(err.Error())
		case refused != nil:
			a.ErrorCode, a.ErrorMessage = refused.Wire()
		case c.version < 2:
			for i := range q.FeatureUpdates {
				r := kmsg.NewUpdateFeaturesResponseResult()
				r.Feature, r.ErrorMessage = q.FeatureUpdates[i].Feature, told("NONE") // as Kafka has it
				a.Results = append(a.Results, r)
			}
		}
		c.reply(a)
	})
}
