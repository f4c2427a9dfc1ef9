//! The list of estimators.

use tcmax_registry::Catalogue;

use crate::bound::info_nce::INFO_NCE;
use crate::bound::jensen_shannon::JENSEN_SHANNON;
use crate::bound::mine::MINE;
use crate::bound::nwj::NWJ;
use crate::bound::smile::SMILE;
use crate::bound::tcne::TCNE;
use crate::exact::counts::COUNTS;
use crate::exact::gaussian::GAUSSIAN;
use crate::exact::ksg::KSG;
use crate::fit::decomposition::{LINE, TREE};
use crate::spec::EstimatorSpec;

/// The built-in estimators, in the order to list them.
pub static ESTIMATORS: [&EstimatorSpec; 11] = [
    &TCNE,
    &MINE,
    &NWJ,
    &INFO_NCE,
    &SMILE,
    &JENSEN_SHANNON,
    &LINE,
    &TREE,
    &KSG,
    &GAUSSIAN,
    &COUNTS,
];

/// A catalogue of the built-in estimators, to which others can be added.
pub fn estimators() -> Catalogue<EstimatorSpec> {
    Catalogue::new("estimator", &ESTIMATORS)
}
