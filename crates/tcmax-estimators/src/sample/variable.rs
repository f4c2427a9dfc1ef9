//! One variable of a sample, checked once.

use crate::error::{Error, Result};

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
    pub(super) name: String,
    kind: VariableKind,
    pub(super) values: Vec<f64>,
    /// Of each column, whether only equality means something.
    pub(super) discrete: Vec<bool>,
    /// The number of classes; 0 for continuous variables.
    pub(super) classes: usize,
}

impl Variable {
    /// A continuous variable of `width` columns from N x width numbers, row by row.
    ///
    /// # Errors
    /// When the numbers do not make whole rows, one is not finite, there is none, or a column is
    /// constant.
    pub fn continuous(name: impl Into<String>, values: Vec<f64>, width: usize) -> Result<Self> {
        let name = name.into();
        check_values(&name, &values, width)?;
        Self::of_numbers(name, values, vec![false; width])
    }

    /// Numbers in columns of which some may be indicators of classes.
    pub(super) fn of_numbers(name: String, values: Vec<f64>, discrete: Vec<bool>) -> Result<Self> {
        let width = discrete.len();
        let kind = VariableKind::Continuous;
        let variable = Self { name, kind, values, discrete, classes: 0 };
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
        let name = name.into();
        check_values(&name, values, 1)?;
        let (values, discrete) = (values.to_vec(), vec![true]);
        let raw = Self { name, kind, values, discrete, classes: 0 };
        let mut classes = raw.values.clone();
        classes.sort_by(f64::total_cmp);
        classes.dedup();
        if let &[value] = classes.as_slice() {
            return Err(Error::ConstantColumn { variable: raw.name, column: 0, value });
        }
        let class = |value: &f64| classes.partition_point(|class| class < value) as f64;
        let values = raw.values.iter().map(class).collect();
        Ok(Self { values, classes: classes.len(), ..raw })
    }

    /// The same variable by another name.
    #[must_use]
    pub fn renamed(self, name: impl Into<String>) -> Self {
        Self { name: name.into(), ..self }
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
        self.discrete.len()
    }

    /// The number of rows N.
    pub fn len(&self) -> usize {
        self.values.len() / self.width()
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
        (self.kind == VariableKind::Categorical).then_some(self.classes)
    }

    /// Whether only equality means something in a column: in that of a categorical variable, and in the
    /// indicator columns that it becomes in a group.
    pub(crate) fn is_discrete(&self, column: usize) -> bool {
        self.discrete[column]
    }

    /// The values of one column.
    pub(crate) fn column(&self, column: usize) -> impl Iterator<Item = f64> + '_ {
        self.values.iter().skip(column).step_by(self.width()).copied()
    }

    /// The variable with its classes numbered anew, if it has any left out.
    ///
    /// # Errors
    /// When there is no row, or a column is constant.
    pub(super) fn checked(self) -> Result<Self> {
        check_values(&self.name, &self.values, self.width())?;
        match self.kind {
            VariableKind::Categorical => Self::categorical(self.name, &self.values),
            VariableKind::Continuous => Self::of_numbers(self.name, self.values, self.discrete),
        }
    }

    /// The same variable in some of the rows. Nothing is checked: a column may be constant there.
    pub(crate) fn in_rows(&self, rows: &[usize]) -> Self {
        let width = self.width();
        let of_row = |&row: &usize| &self.values[row * width..][..width];
        Self { values: rows.iter().flat_map(of_row).copied().collect(), ..self.clone() }
    }
}

fn check_values(name: &str, values: &[f64], width: usize) -> Result<()> {
    if values.is_empty() {
        return Err(Error::Empty { what: "a variable", unit: "row" });
    }
    if width == 0 || !values.len().is_multiple_of(width) {
        return Err(Error::WrongShape {
            what: format!("variable '{name}'"),
            got: vec![values.len()],
            wanted: format!("whole rows of {width} numbers"),
        });
    }
    if let Some(position) = values.iter().position(|value| !value.is_finite()) {
        return Err(Error::NotFinite {
            variable: name.to_owned(),
            row: position / width,
            column: position % width,
            value: values[position],
        });
    }
    Ok(())
}
