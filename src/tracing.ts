import { type Context, diag, DiagLogLevel, type HrTime, ROOT_CONTEXT, SpanKind, SpanStatusCode } from '@opentelemetry/api'
import { W3CTraceContextPropagator } from '@opentelemetry/core'
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http'
import { resourceFromAttributes } from '@opentelemetry/resources'
import { AlwaysOnSampler, BatchSpanProcessor, ParentBasedSampler, type Sampler, TraceIdRatioBasedSampler, TracerProvider } from '@opentelemetry/sdk-trace'
import type { Logger } from 'pino'
import type { Tracing } from '#admission/tracing.ts'

/** Spans by OTLP over HTTP. A file of its own, which is read only where somebody asks for spans. */

type Env = Readonly<Record<string, string | undefined>>

const MAX_QUEUE = 2_048
const MAX_BATCH = 512
const BATCH_EVERY_MS = 5_000
const EXPORT_TIMEOUT_MS = 5_000
const MS_A_SECOND = 1_000
const NS_A_MS = 1_000_000

/**
 * Where spans go, how many, and under which name is said by OpenTelemetry's own variables: `OTEL_EXPORTER_OTLP_ENDPOINT` or
 * `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`, `OTEL_EXPORTER_OTLP_HEADERS`, `OTEL_TRACES_SAMPLER_ARG` (a share from 0 to 1 of the reviews that
 * come without a decision of the API server; all of them, if not set), `OTEL_SERVICE_NAME`. A collector that is slow or gone costs spans, never a review.
 */
export function createTracing(env: Env, log: Pick<Logger, 'warn'>): Tracing {
  const warn = (message: string, ...details: unknown[]): void => { log.warn({ details }, `tracing: ${message}`) }
  diag.setLogger({ error: warn, warn, info: () => undefined, debug: () => undefined, verbose: () => undefined }, DiagLogLevel.WARN)
  const provider = new TracerProvider({
    resource: resourceFromAttributes({ 'service.name': env['OTEL_SERVICE_NAME'] ?? 'canarygate-webhook' }),
    sampler: new ParentBasedSampler({ root: rootSampler(env['OTEL_TRACES_SAMPLER_ARG']) }),
    spanProcessors: [new BatchSpanProcessor({
      exporter: new OTLPTraceExporter(),
      maxQueueSize: MAX_QUEUE, maxExportBatchSize: MAX_BATCH, scheduledDelayMillis: BATCH_EVERY_MS, exportTimeoutMillis: EXPORT_TIMEOUT_MS,
    })],
  })
  const tracer = provider.getTracer('canarygate')
  return {
    review({ hook, namespace, name, kind, operation, dryRun, outcome, rules, fault, startedAt, endedAt, headers }) {
      const span = tracer.startSpan(`admission ${hook}`, {
        kind: SpanKind.SERVER, startTime: hrTimeOf(startedAt),
        attributes: {
          'k8s.namespace.name': namespace, 'canarygate.hook': hook, 'canarygate.object.kind': kind, 'canarygate.object.name': name,
          'canarygate.operation': operation, 'canarygate.dry_run': dryRun, 'canarygate.outcome': outcome, 'canarygate.rules': [...rules],
        },
      }, parentOf(headers))
      if (fault !== undefined) span.setStatus({ code: SpanStatusCode.ERROR, message: fault })
      span.end(hrTimeOf(endedAt))
    },
    async stop() {
      await provider.shutdown().catch((err: unknown) => log.warn({ err }, 'tracing: the last spans are lost'))
      diag.disable()
    },
  }
}

function rootSampler(share: string | undefined): Sampler {
  if (share === undefined) return new AlwaysOnSampler()
  const ratio = Number(share)
  if (share.trim() === '' || !(ratio >= 0 && ratio <= 1)) throw new Error(`OTEL_TRACES_SAMPLER_ARG is "${share}", which is no share; write a number from 0 to 1, like 0.1`)
  return new TraceIdRatioBasedSampler(ratio)
}

const propagator = new W3CTraceContextPropagator()
/** The API server's own span, when it traces: theirs and ours are then one trace. */
const parentOf = (headers: Readonly<Record<string, string | string[] | undefined>>): Context =>
  propagator.extract(ROOT_CONTEXT, headers, { get: (carrier, key) => carrier[key], keys: (carrier) => Object.keys(carrier) })

/** Seconds and nanoseconds of Unix milliseconds. */
const hrTimeOf = (ms: number): HrTime => [Math.floor(ms / MS_A_SECOND), Math.floor((ms % MS_A_SECOND) * NS_A_MS)]
