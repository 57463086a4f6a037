package api

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/engine/cluster"
)

// UpdateFeatures finalizes features at another level (KIP-584): the door by which a cluster
// comes to transaction.version 2, and goes back.
//
//	v1 upgrade type, validate only · v2 one error for all
//
// Differs from Kafka: nothing.
func updateFeatures(c *call, q *kmsg.UpdateFeaturesRequest, a *kmsg.UpdateFeaturesResponse) {
	for i := range q.FeatureUpdates {
		if u := &q.FeatureUpdates[i]; c.version < 1 {
			if u.UpgradeType = 1; u.AllowDowngrade {
				u.UpgradeType = 2
			}
		}
	}
	var refused map[string]*cluster.Refusal
	var first *cluster.Refusal
	c.server.Controller.Change(func(image *cluster.Image) (records []cluster.Record, _ error) {
		records, refused, first = cluster.UpdateFeatures(image, q.FeatureUpdates)
		if q.ValidateOnly {
			records = nil
		}
		return records, nil
	}, func(_ *cluster.Image, err error) {
		switch {
		case err != nil:
			a.ErrorCode, a.ErrorMessage = code(err), told(err.Error())
		case c.version >= 2:
			a.ErrorCode, a.ErrorMessage = first.Wire()
		default:
			for i := range q.FeatureUpdates {
				r := kmsg.NewUpdateFeaturesResponseResult()
				r.Feature = q.FeatureUpdates[i].Feature
				if r.ErrorCode, r.ErrorMessage = refused[r.Feature].Wire(); r.ErrorCode == 0 {
					r.ErrorCode, r.ErrorMessage = first.Wire()
				}
				a.Results = append(a.Results, r)
			}
		}
		c.reply(a)
	})
}
