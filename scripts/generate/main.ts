import { crdFiles } from './crds.ts'
import { writeOrCheck } from './files.ts'
import { rulesPage } from './rules.ts'
import { schemaFiles } from './schemas.ts'
import { vapFile } from './vap.ts'

/** Everything that is generated: CRDs, the schemas for editors, the page of the rules, the admission policies. `--check` writes nothing and exits 1 on a difference. */
process.exitCode = writeOrCheck([...crdFiles(), ...schemaFiles(), rulesPage(), vapFile()])
