package metricsapi

import (
	"fmt"
	"maps"

	apidiscoveryv2 "k8s.io/api/apidiscovery/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/endpoints"
	"k8s.io/apiserver/pkg/endpoints/discovery"
	openapinamer "k8s.io/apiserver/pkg/endpoints/openapi"
	genericapiserver "k8s.io/apiserver/pkg/server"
	openapicommon "k8s.io/kube-openapi/pkg/common"
	customv1beta1 "k8s.io/metrics/pkg/apis/custom_metrics/v1beta1"
	customv1beta2 "k8s.io/metrics/pkg/apis/custom_metrics/v1beta2"
	externalv1beta1 "k8s.io/metrics/pkg/apis/external_metrics/v1beta1"
	"sigs.k8s.io/custom-metrics-apiserver/pkg/apiserver"
	generatedcore "sigs.k8s.io/custom-metrics-apiserver/pkg/generated/openapi/core"
	generatedcustom "sigs.k8s.io/custom-metrics-apiserver/pkg/generated/openapi/custommetrics"
	generatedexternal "sigs.k8s.io/custom-metrics-apiserver/pkg/generated/openapi/externalmetrics"
	metricsprovider "sigs.k8s.io/custom-metrics-apiserver/pkg/provider"
)

// addAggregatedDiscovery tells /apis which resources each version has. The library does so for the
// older, unaggregated form only, and clients that ask for the newer form would see an empty list.
func addAggregatedDiscovery(server *genericapiserver.GenericAPIServer, p *provider, beside Beside) error {
	custom := metricsprovider.NewCustomMetricResourceLister(p)
	external := metricsprovider.NewExternalMetricResourceLister(p)
	type version struct {
		version  schema.GroupVersion
		lister   discovery.APIResourceLister
		priority int
	}
	versions := []version{
		{customv1beta2.SchemeGroupVersion, custom, 200},
		{customv1beta1.SchemeGroupVersion, custom, 100},
		{externalv1beta1.SchemeGroupVersion, external, 100},
	}
	if beside.Group != nil {
		versions = append(versions, version{beside.Version, beside, 100})
	}
	for _, v := range versions {
		resources, err := endpoints.ConvertGroupVersionIntoToDiscovery(v.lister.ListAPIResources())
		if err != nil {
			return fmt.Errorf("describe %s: %w", v.version, err)
		}
		manager := server.AggregatedDiscoveryGroupManager
		manager.AddGroupVersion(v.version.Group, apidiscoveryv2.APIVersionDiscovery{
			Version: v.version.Version, Freshness: apidiscoveryv2.DiscoveryFreshnessCurrent, Resources: resources,
		})
		manager.SetGroupVersionPriority(metav1.GroupVersion(v.version), 100, v.priority)
	}
	return nil
}

func openAPIDefinitions(ref openapicommon.ReferenceCallback) map[string]openapicommon.OpenAPIDefinition {
	all := generatedcore.GetOpenAPIDefinitions(ref)
	for _, more := range []openapicommon.GetOpenAPIDefinitions{generatedcustom.GetOpenAPIDefinitions, generatedexternal.GetOpenAPIDefinitions} {
		maps.Copy(all, more(ref))
	}
	return all
}

func openAPI() (*openapicommon.Config, *openapicommon.OpenAPIV3Config) {
	namer := openapinamer.NewDefinitionNamer(apiserver.Scheme)
	v2 := genericapiserver.DefaultOpenAPIConfig(openAPIDefinitions, namer)
	v3 := genericapiserver.DefaultOpenAPIV3Config(openAPIDefinitions, namer)
	v2.Info.Title, v2.Info.Version = "shardscaler metrics", "v1"
	v3.Info = v2.Info
	return v2, v3
}
