import type { ObjectRef } from '#api/objects.ts'
import { findingText } from '#policy/evaluate.ts'
import type { ReportedFinding } from '#policy/rule.ts'

/** What linting found, in the forms that people and their tools read. */

export type LintFinding = ReportedFinding & {
  readonly object: ObjectRef
  readonly file: string
  /** Line of the field, from 1, or of the nearest one around it that is there. */
  readonly line: number
}

export type LintReport = {
  readonly findings: readonly LintFinding[]
  /** What the rules would have looked at, and could not. */
  readonly unresolved: readonly string[]
  readonly objects: number
}

export const LINT_FORMATS = ['text', 'json', 'sarif', 'github'] as const
export type LintFormat = (typeof LINT_FORMATS)[number]

export const renderReport = (format: LintFormat, report: LintReport): string => RENDERERS[format](report)

/** A finding of a policy's `audit` is only counted: by programs, not on a terminal. */
const told = ({ findings }: LintReport): readonly LintFinding[] => findings.filter(({ severity }) => severity !== 'audit')

const titleOf = ({ object }: LintFinding): string => [object.kind, object.namespace === undefined ? object.name : `${object.namespace}/${object.name}`].filter(Boolean).join(' ')
/** Of a file that cannot be read as YAML there is neither an object nor a field. */
const wordsOf = (finding: LintFinding): string => [titleOf(finding), findingText(finding).replace(/^: /, '')].filter((part) => part !== '').join(': ')

const RENDERERS: Readonly<Record<LintFormat, (report: LintReport) => string>> = {
  text: (report) => {
    const lines = told(report).map((finding) => `${finding.file}:${finding.line}: ${finding.severity}: ${wordsOf(finding)}`)
    const count = (severity: string) => report.findings.filter((finding) => finding.severity === severity).length
    return `${[...lines, `${report.objects} object${report.objects === 1 ? '' : 's'}: ${count('deny')} denied, ${count('warn')} warned`].join('\n')}\n`
  },
  json: ({ findings, unresolved }) => `${JSON.stringify({ findings, unresolved }, undefined, 2)}\n`,
  github: (report) => told(report).map((finding) => {
    const level = finding.severity === 'deny' ? 'error' : 'warning'
    return `::${level} file=${property(finding.file)},line=${finding.line},title=${property(finding.rule)}::${message(wordsOf(finding))}\n`
  }).join(''),
  sarif: ({ findings }) => `${JSON.stringify(sarif(findings), undefined, 2)}\n`,
}

/** Workflow commands end at a line break, and their properties at a comma. */
const message = (text: string): string => text.replaceAll('%', '%25').replaceAll('\r', '%0D').replaceAll('\n', '%0A')
const property = (text: string): string => message(text).replaceAll(':', '%3A').replaceAll(',', '%2C')

const SARIF_LEVELS: Readonly<Record<string, string>> = { deny: 'error', warn: 'warning' }

function sarif(findings: readonly LintFinding[]): object {
  const rules = [...new Set(findings.map(({ rule }) => rule))].sort()
  return {
    $schema: 'https://json.schemastore.org/sarif-2.1.0.json',
    version: '2.1.0',
    runs: [{
      tool: { driver: { name: 'canarygate', rules: rules.map((id) => ({ id })) } },
      results: findings.map((finding) => ({
        ruleId: finding.rule,
        ruleIndex: rules.indexOf(finding.rule),
        level: SARIF_LEVELS[finding.severity] ?? 'note',
        message: { text: wordsOf(finding) },
        locations: [{
          // A URI, so that names with blanks do not end it.
          physicalLocation: { artifactLocation: { uri: finding.file === '-' ? 'stdin' : encodeURI(finding.file) }, region: { startLine: finding.line } },
          logicalLocations: [{ fullyQualifiedName: finding.field }],
        }],
      })),
    }],
  }
}
