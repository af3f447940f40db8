//! Reading a query: words → syntax tree.
//!
//! Owns: grammar, precedence, types of operands, refusing what is not supported by name. Must not:
//! read series.

use regex::Regex;

use super::{
    lexer::{self, Token},
    query::{
        Aggregation, Binary, Expr, Function, Grouping, Kind, Matcher, Operator, QueryError, Test,
    },
    storage::NAME,
};

/// How deep parentheses and signs may go.
const DEPTH: usize = 100;

/// Returns what a query says.
pub(super) fn parse(query: &str) -> Result<Expr, QueryError> {
    let mut parser = Parser {
        query,
        words: lexer::words(query)?,
        at: 0,
        depth: 0,
    };
    if *parser.peek() == Token::End {
        let why = "unknown position: parse error: no expression found in input";
        return Err(QueryError::BadData(why.to_owned()));
    }
    let expr = parser.expression(0)?;
    if *parser.peek() != Token::End {
        return Err(parser.unexpected(""));
    }
    if expr.kind() == Kind::Range {
        return Err(parser.unsupported("a range vector as the result"));
    }
    Ok(expr)
}

struct Parser<'a> {
    query: &'a str,
    words: Vec<(usize, Token)>,
    at: usize,
    depth: usize,
}

impl Parser<'_> {
    // === Words ===

    fn peek(&self) -> &Token {
        self.ahead(0)
    }

    fn ahead(&self, count: usize) -> &Token {
        let last = self.words.len() - 1;
        &self.words[(self.at + count).min(last)].1
    }

    fn accept(&mut self, sign: &str) -> bool {
        let hit = matches!(self.peek(), Token::Sign(s) if *s == sign);
        self.at += usize::from(hit);
        hit
    }

    fn expect(&mut self, sign: &'static str, place: &str) -> Result<(), QueryError> {
        if self.accept(sign) {
            return Ok(());
        }
        Err(self.unexpected(&format!(" in {place}, expected \"{sign}\"")))
    }

    fn keyword(&self) -> String {
        if let Token::Word(word) = self.peek() {
            word.to_ascii_lowercase()
        } else {
            String::new()
        }
    }

    // === Errors ===

    fn error(&self, why: &str) -> QueryError {
        let at = self.words.get(self.at).map_or(self.query.len(), |w| w.0);
        lexer::error(self.query, at, why)
    }

    fn unexpected(&self, place: &str) -> QueryError {
        self.error(&format!("unexpected {}{place}", self.peek().name()))
    }

    fn unsupported(&self, what: &str) -> QueryError {
        self.error(&format!(
            "{what} is not supported by the simulated Prometheus"
        ))
    }

    // === Expressions ===

    fn expression(&mut self, least: u8) -> Result<Expr, QueryError> {
        self.depth += 1;
        if self.depth > DEPTH {
            return Err(self.unsupported("an expression as deep as this"));
        }
        let mut left = self.operand()?;
        while let Some((operator, strength)) = self.operator(least)? {
            let start = self.at;
            self.at += 1;
            left = self.binary(left, operator, strength, start)?;
        }
        self.depth -= 1;
        Ok(left)
    }

    /// Returns the operator that comes next, if it binds tighter than `least`.
    fn operator(&self, least: u8) -> Result<Option<(Operator, u8)>, QueryError> {
        let text = match self.peek() {
            Token::Sign(sign) => (*sign).to_owned(),
            Token::Word(_) => self.keyword(),
            Token::Number(_) | Token::Span(_) | Token::Text(_) | Token::End => return Ok(None),
        };
        if matches!(text.as_str(), "%" | "^" | "atan2") {
            return Err(self.unsupported(&format!("the operator \"{text}\"")));
        }
        let known = Operator::ALL.iter().find(|(name, ..)| *name == text);
        Ok(known
            .filter(|(_, _, strength)| *strength > least)
            .map(|(_, operator, strength)| (*operator, *strength)))
    }

    fn binary(
        &mut self,
        left: Expr,
        operator: Operator,
        strength: u8,
        start: usize,
    ) -> Result<Expr, QueryError> {
        let as_bool = self.keyword() == "bool";
        if as_bool && operator.holds(0.0, 0.0).is_none() {
            return Err(self.error("bool modifier can only be used on comparison operators"));
        }
        self.at += usize::from(as_bool);
        let matched = matches!(self.keyword().as_str(), "on" | "ignoring");
        let mut matching = Grouping::Without(Vec::new());
        if matched {
            let only = self.keyword() == "on";
            self.at += 1;
            let names = self.names()?;
            matching = if only {
                Grouping::Only(names)
            } else {
                Grouping::Without(names)
            };
        }
        if matches!(self.keyword().as_str(), "group_left" | "group_right") {
            let word = self.keyword();
            return Err(self.unsupported(&format!("\"{word}\"")));
        }
        let right = self.expression(strength)?;
        let end = std::mem::replace(&mut self.at, start);
        let kinds = [left.kind(), right.kind()];
        if kinds.contains(&Kind::Range) {
            return Err(
                self.error("binary expression must contain only scalar and instant vector types")
            );
        }
        let scalars = kinds.iter().filter(|k| **k == Kind::Scalar).count();
        if scalars == 2 && operator.holds(0.0, 0.0).is_some() && !as_bool {
            return Err(self.error("comparisons between scalars must use BOOL modifier"));
        }
        if scalars > 0 && operator.is_set() {
            let name = self.peek().name();
            return Err(self.error(&format!(
                "set operator {name} not allowed in binary scalar expression"
            )));
        }
        if scalars > 0 && matched {
            return Err(self.error("vector matching only allowed between instant vectors"));
        }
        self.at = end;
        Ok(Expr::Binary(Box::new(Binary {
            operator,
            as_bool,
            matching,
            left,
            right,
        })))
    }

    fn operand(&mut self) -> Result<Expr, QueryError> {
        if self.accept("+") {
            return self.expression(5);
        }
        if self.accept("-") {
            let inner = self.expression(5)?;
            if inner.kind() == Kind::Range {
                return Err(self.error("unary expression only allowed on expressions of type scalar or instant vector, got \"range vector\""));
            }
            return Ok(if let Expr::Number(number) = inner {
                Expr::Number(-number)
            } else {
                Expr::Negative(Box::new(inner))
            });
        }
        let inner = self.primary()?;
        self.suffix(inner)
    }

    fn primary(&mut self) -> Result<Expr, QueryError> {
        match self.peek().clone() {
            Token::Number(number) => {
                self.at += 1;
                Ok(Expr::Number(number))
            }
            Token::Sign("(") => {
                self.at += 1;
                let inner = self.expression(0)?;
                self.expect(")", "paren expression")?;
                Ok(inner)
            }
            Token::Sign("{") => self.selector(None),
            Token::Text(_) => Err(self.unsupported("a string as an expression")),
            Token::Word(word) => self.named(&word),
            Token::Span(_) | Token::Sign(_) | Token::End => Err(self.unexpected("")),
        }
    }

    /// Reads what begins with a name: an aggregation, a function or a metric.
    fn named(&mut self, word: &str) -> Result<Expr, QueryError> {
        let lower = word.to_ascii_lowercase();
        let by = |token: &Token| matches!(token, Token::Word(w) if ["by", "without"].contains(&w.to_ascii_lowercase().as_str()));
        let called = *self.ahead(1) == Token::Sign("(");
        if called || by(self.ahead(1)) {
            if Aggregation::OTHERS.contains(&lower.as_str()) {
                return Err(self.unsupported(&format!("the aggregation \"{lower}\"")));
            }
            if let Some((_, hit)) = Aggregation::ALL.iter().find(|(name, _)| *name == lower) {
                self.at += 1;
                return self.aggregate(*hit);
            }
        }
        if called {
            return self.call(word);
        }
        self.at += 1;
        self.selector(Some(word))
    }

    fn aggregate(&mut self, aggregation: Aggregation) -> Result<Expr, QueryError> {
        let mut grouping = self.grouping()?;
        self.expect("(", "aggregation")?;
        let start = self.at;
        let inner = self.expression(0)?;
        let (kind, end) = (inner.kind(), self.at);
        if kind != Kind::Vector {
            self.at = start;
            return Err(self.error(&format!(
                "expected type instant vector in aggregation expression, got {}",
                kind.name()
            )));
        }
        self.at = end;
        self.expect(")", "aggregation")?;
        if grouping.is_none() {
            grouping = self.grouping()?;
        }
        let grouping = grouping.unwrap_or_else(|| Grouping::Only(Vec::new()));
        Ok(Expr::Aggregate(aggregation, grouping, Box::new(inner)))
    }

    fn grouping(&mut self) -> Result<Option<Grouping>, QueryError> {
        let word = self.keyword();
        if word != "by" && word != "without" {
            return Ok(None);
        }
        self.at += 1;
        let names = self.names()?;
        Ok(Some(if word == "by" {
            Grouping::Only(names)
        } else {
            Grouping::Without(names)
        }))
    }

    /// Reads label names in parentheses.
    fn names(&mut self) -> Result<Vec<String>, QueryError> {
        self.expect("(", "grouping opts")?;
        let mut names = Vec::new();
        while !self.accept(")") {
            let Token::Word(name) = self.peek().clone() else {
                return Err(self.unexpected(" in grouping opts, expected label"));
            };
            names.push(name);
            self.at += 1;
            if !self.accept(",") {
                self.expect(")", "grouping opts")?;
                break;
            }
        }
        Ok(names)
    }

    fn call(&mut self, name: &str) -> Result<Expr, QueryError> {
        let Some((_, function, takes)) = Function::ALL.iter().find(|(n, ..)| *n == name) else {
            return Err(self.unsupported(&format!("the function \"{name}\"")));
        };
        let start = self.at;
        self.at += 2;
        let mut arguments = Vec::new();
        while !self.accept(")") {
            let place = self.at;
            let argument = self.expression(0)?;
            let wanted = takes.get(arguments.len()).copied();
            if let Some(wanted) = wanted.filter(|wanted| *wanted != argument.kind()) {
                let got = argument.kind().name();
                let wanted = wanted.name();
                self.at = place;
                return Err(self.error(&format!(
                    "expected type {wanted} in call to function \"{name}\", got {got}"
                )));
            }
            arguments.push(argument);
            if !self.accept(",") {
                self.expect(")", "function call")?;
                break;
            }
        }
        if arguments.len() != takes.len() {
            let (wanted, got) = (takes.len(), arguments.len());
            self.at = start;
            return Err(self.error(&format!(
                "expected {wanted} argument(s) in call to \"{name}\", got {got}"
            )));
        }
        Ok(Expr::Call(*function, arguments))
    }

    // === Selectors ===

    fn selector(&mut self, name: Option<&str>) -> Result<Expr, QueryError> {
        let start = self.at;
        let mut matchers = Vec::new();
        if let Some(name) = name {
            matchers.push(Matcher {
                label: NAME.to_owned(),
                test: Test::Text(name.to_owned()),
                negated: false,
            });
        }
        if self.accept("{") {
            while !self.accept("}") {
                let matcher = self.matcher()?;
                if name.is_some() && matcher.label == NAME {
                    return Err(self.error("metric name must not be set twice"));
                }
                matchers.push(matcher);
                if !self.accept(",") {
                    self.expect("}", "label matching")?;
                    break;
                }
            }
        }
        if matchers.iter().all(|m| m.passes("")) {
            self.at = start;
            return Err(self.error("vector selector must contain at least one non-empty matcher"));
        }
        Ok(Expr::Selector(matchers))
    }

    fn matcher(&mut self) -> Result<Matcher, QueryError> {
        let place = " in label matching, expected identifier or \"}\"";
        let Token::Word(label) = self.peek().clone() else {
            return Err(self.unexpected(place));
        };
        self.at += 1;
        let operators = [
            ("=", false, false),
            ("!=", false, true),
            ("=~", true, false),
            ("!~", true, true),
        ];
        let Some((_, pattern, negated)) =
            operators.into_iter().find(|(sign, ..)| self.accept(sign))
        else {
            let place = " in label matching, expected label matching operator";
            return Err(self.unexpected(place));
        };
        let Token::Text(text) = self.peek().clone() else {
            return Err(self.unexpected(" in label matching, expected string"));
        };
        let condition = if pattern {
            let anchored = Regex::new(&format!("^(?s:{text})$"));
            Test::Pattern(anchored.map_err(|e| {
                let why = e.to_string();
                let last = why.lines().last().unwrap_or_default().to_owned();
                self.error(&format!("error parsing regexp: {last}: `{text}`"))
            })?)
        } else {
            Test::Text(text)
        };
        self.at += 1;
        Ok(Matcher {
            label,
            test: condition,
            negated,
        })
    }

    /// Reads what may follow an operand: a range.
    fn suffix(&mut self, inner: Expr) -> Result<Expr, QueryError> {
        if *self.peek() == Token::Sign("@") || self.keyword() == "offset" {
            let what = format!("the modifier {}", self.peek().name());
            return Err(self.unsupported(&what));
        }
        if *self.peek() != Token::Sign("[") {
            return Ok(inner);
        }
        let Expr::Selector(matchers) = inner else {
            return Err(self.unsupported("a range of anything but a selector"));
        };
        self.at += 1;
        let Token::Span(millis) = *self.peek() else {
            return Err(self.unexpected(" in range selector, expected duration"));
        };
        if millis == 0 {
            return Err(self.error("duration must be greater than 0"));
        }
        self.at += 1;
        if matches!(self.peek(), Token::Sign(":")) {
            return Err(self.unsupported("a subquery"));
        }
        self.expect("]", "range selector")?;
        self.suffix(Expr::Range(matchers, millis))
    }
}
