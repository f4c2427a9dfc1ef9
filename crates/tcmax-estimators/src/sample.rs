//! Joint examples of several variables, checked once.

use crate::{Error, Result};

/// What the values of a variable mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum VariableKind {
    /// Numbers: order and distance mean something.
    Continuous,
    /// Names of classes written as numbers: only equality means something.
    Categorical,
}

/// One variable: N rows of D numbers.
#[derive(Clone, Debug)]
pub struct Variable {
    name: String,
    kind: VariableKind,
    values: Vec<f64>,
    width: usize,
}

impl Variable {
    /// A continuous variable of `width` columns from N x width numbers, row by row.
    ///
    /// # Errors
    /// When the numbers do not make whole rows, one is not finite, there is none, or a column is
    /// constant.
    pub fn continuous(name: impl Into<String>, values: Vec<f64>, width: usize) -> Result<Self> {
        let variable = Self { name: name.into(), kind: VariableKind::Continuous, values, width };
        variable.check_values()?;
        for column in 0..width {
            let mut of_column = variable.column(column);
            let first = of_column.next().unwrap_or(0.0);
            if of_column.all(|value| value == first) {
                let (name, value) = (variable.name.clone(), first);
                return Err(Error::ConstantColumn { variable: name, column, value });
            }
        }
        Ok(variable)
    }

    /// A categorical variable: any finite numbers, equal ones being one class.
    ///
    /// # Errors
    /// When one is not finite, there is none, or all are equal.
    pub fn categorical(name: impl Into<String>, values: &[f64]) -> Result<Self> {
        let kind = VariableKind::Categorical;
        let raw = Self { name: name.into(), kind, values: values.to_vec(), width: 1 };
        raw.check_values()?;
        let mut classes = values.to_vec();
        classes.sort_by(f64::total_cmp);
        classes.dedup();
        if let &[value] = classes.as_slice() {
            return Err(Error::ConstantColumn { variable: raw.name, column: 0, value });
        }
        let class = |value: &f64| classes.partition_point(|class| class < value) as f64;
        Ok(Self { values: values.iter().map(class).collect(), ..raw })
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the values mean.
    pub fn kind(&self) -> VariableKind {
        self.kind
    }

    /// The number of columns D.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The number of rows N.
    pub fn len(&self) -> usize {
        self.values.len() / self.width
    }

    /// Never true: variables are checked to have rows.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// The values, row by row; of a categorical variable class numbers from 0.
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// The number of classes of a categorical variable.
    pub fn classes(&self) -> Option<usize> {
        let largest = self.values.iter().copied().fold(0.0, f64::max);
        (self.kind == VariableKind::Categorical).then_some(largest as usize + 1)
    }

    /// The values of one column.
    pub(crate) fn column(&self, column: usize) -> impl Iterator<Item = f64> + '_ {
        self.values.iter().skip(column).step_by(self.width).copied()
    }

    /// Values with every column at mean 0 and variance 1.
    pub(crate) fn standardised(&self) -> Vec<f64> {
        let n = self.len() as f64;
        let mut values = self.values.clone();
        for column in 0..self.width {
            let mean = self.column(column).sum::<f64>() / n;
            let variance = self.column(column).map(|x| (x - mean) * (x - mean)).sum::<f64>() / n;
            let scale = variance.sqrt().max(f64::MIN_POSITIVE);
            let of_column = values.iter_mut().skip(column).step_by(self.width);
            of_column.for_each(|x| *x = (*x - mean) / scale);
        }
        values
    }

    fn check_values(&self) -> Result<()> {
        if self.values.is_empty() {
            return Err(Error::Empty { what: "a variable", unit: "row" });
        }
        if self.width == 0 || !self.values.len().is_multiple_of(self.width) {
            return Err(Error::WrongShape {
                what: format!("variable '{}'", self.name),
                got: vec![self.values.len()],
                wanted: format!("whole rows of {} numbers", self.width),
            });
        }
        if let Some(place) = self.values.iter().position(|value| !value.is_finite()) {
            return Err(Error::NotFinite {
                variable: self.name.clone(),
                row: place / self.width,
                column: place % self.width,
                value: self.values[place],
            });
        }
        Ok(())
    }
}

/// N joint examples of at least two variables.
///
/// ```
/// use tcmax_estimators::{Sample, Variable};
///
/// # fn main() -> tcmax_estimators::Result<()> {
/// let a = Variable::continuous("a", vec![0.1, 0.2, 0.3], 1)?;
/// let y = Variable::categorical("y", &[7.0, 5.0, 7.0])?;
/// assert_eq!(y.values(), [1.0, 0.0, 1.0]);
/// assert_eq!(Sample::new(vec![a, y])?.len(), 3);
///
/// let error = Variable::continuous("b", vec![0.1, f64::NAN], 1).unwrap_err();
/// assert!(error.to_string().starts_with("variable 'b', row 1, column 0: the value is NaN"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Sample {
    variables: Vec<Variable>,
}

impl Sample {
    /// Puts variables together.
    ///
    /// # Errors
    /// When there are fewer than two, or their numbers of rows differ.
    pub fn new(variables: Vec<Variable>) -> Result<Self> {
        let Some(first) = variables.first().filter(|_| variables.len() > 1) else {
            let problem = format!("at least 2 variables are needed; got {}", variables.len());
            return Err(Error::Setting { field: "variables", problem });
        };
        if let Some(other) = variables.iter().find(|other| other.len() != first.len()) {
            return Err(Error::UnequalLengths {
                variable: other.name.clone(),
                got: other.len(),
                first: first.name.clone(),
                wanted: first.len(),
            });
        }
        Ok(Self { variables })
    }

    /// The variables.
    pub fn variables(&self) -> &[Variable] {
        &self.variables
    }

    /// The number of examples N.
    pub fn len(&self) -> usize {
        self.variables[0].len()
    }

    /// Never true: variables are checked to have rows.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// The sample of some of the variables, each group glued into one variable.
    ///
    /// A group of one stays as it is; in a larger group categorical variables become indicator
    /// columns, one a class.
    ///
    /// # Errors
    /// When a variable does not exist, a group is empty, or there are fewer than two groups.
    pub fn grouped(&self, groups: &[&[usize]]) -> Result<Self> {
        Self::new(groups.iter().map(|group| self.glue(group)).collect::<Result<_>>()?)
    }

    fn glue(&self, group: &[usize]) -> Result<Variable> {
        let count = self.variables.len();
        if let Some(&index) = group.iter().find(|&&index| index >= count) {
            return Err(Error::NoSuchVariable { index, count });
        }
        if let &[only] = group {
            return Ok(self.variables[only].clone());
        }
        let members: Vec<&Variable> = group.iter().map(|&index| &self.variables[index]).collect();
        let widths = members.iter().map(|v| v.classes().unwrap_or(v.width));
        let width: usize = widths.sum();
        let mut values = Vec::with_capacity(width * self.len());
        for row in 0..self.len() {
            for member in &members {
                let own = &member.values[row * member.width..][..member.width];
                match member.classes() {
                    None => values.extend_from_slice(own),
                    Some(classes) => values
                        .extend((0..classes).map(|c| f64::from(u8::from(own[0] as usize == c)))),
                }
            }
        }
        let names: Vec<&str> = members.iter().map(|member| member.name()).collect();
        Variable::continuous(format!("({})", names.join(", ")), values, width)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_variables_are_named() {
        let a = Variable::continuous("a", vec![1.0, 2.0, 3.0, 4.0], 2).unwrap();
        assert!(matches!(
            Variable::continuous("c", vec![1.0, 2.0, 1.0, 3.0], 2),
            Err(Error::ConstantColumn { column: 0, .. })
        ));
        assert!(matches!(
            Variable::continuous("d", vec![1.0, 2.0, 1.0], 2),
            Err(Error::WrongShape { .. })
        ));
        let b = Variable::continuous("b", vec![1.0, 2.0, 3.0], 1).unwrap();
        let error = Sample::new(vec![a.clone(), b]).unwrap_err().to_string();
        assert!(error.contains("'b' has 3 rows, but 'a' has 2"), "{error}");
        assert!(matches!(Sample::new(vec![a]), Err(Error::Setting { .. })));
    }

    #[test]
    fn groups_are_glued_with_indicators_for_classes() {
        let a = Variable::continuous("a", vec![1.0, 2.0, 3.0], 1).unwrap();
        let y = Variable::categorical("y", &[4.0, 9.0, 4.0]).unwrap();
        let sample = Sample::new(vec![a.clone(), y, a]).unwrap();
        let glued = sample.grouped(&[&[0, 1], &[2]]).unwrap();
        assert_eq!(glued.variables()[0].values(), [1.0, 1.0, 0.0, 2.0, 0.0, 1.0, 3.0, 1.0, 0.0]);
        assert_eq!(glued.variables()[0].name(), "(a, y)");
        assert!(matches!(sample.grouped(&[&[0], &[3]]), Err(Error::NoSuchVariable { .. })));
    }
}
