package api

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/sdk"
)

// RemoveRaftVoter would take a controller out of the quorum of the metadata (KIP-853), which
// is the one node that there is.
//
//	v0 flexible
//
// Differs from Kafka: nothing, while its quorum is static.
func removeRaftVoter(c *call, q *kmsg.RemoveRaftVoterRequest, a *kmsg.RemoveRaftVoterResponse) {
	switch {
	case !c.onCluster(sdk.OperationAlter):
		a.ErrorCode, a.ErrorMessage = clusterDenied.Wire()
	case c.otherCluster(q.ClusterID):
		a.ErrorCode = kerr.InconsistentClusterID.Code
	case q.VoterID < 0 || q.VoterDirectoryID == [16]byte{}:
		a.ErrorCode, a.ErrorMessage = kerr.InvalidRequest.Code, told("Remove voter request didn't include a valid voter")
	default:
		a.ErrorCode, a.ErrorMessage = kerr.UnsupportedVersion.Code, told("Cluster doesn't support removing voter because the kraft.version feature is 0")
	}
	c.reply(a)
}
